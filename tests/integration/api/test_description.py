"""The running API keeps to its own description: no answer is a 5xx, undocumented, or of another form than described."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from portal.access import PERMISSIONS
from tests.installation import Installation

# Another test holds that this file is what the app makes.
SCHEMA = schemathesis.openapi.from_path(Path(__file__).parents[3] / "docs" / "openapi.json")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="session")
def api_key(running: Installation) -> str:
    """A key that may do everything."""
    return running.command("keys", "create", "schema", "--scopes", ",".join(PERMISSIONS))


@SCHEMA.parametrize()
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_gets_an_answer_that_is_not_described(
    case: schemathesis.Case, running: Installation, api_key: str
) -> None:
    response = case.call(base_url=running.url, headers={"Authorization": f"Bearer {api_key}"})
    case.validate_response(response, checks=CHECKS)
