"""Row 24, second half: requests generated from the OpenAPI document find no error of ours in any handler."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from portal.settings import Settings
from tests.portal_peer import Client, PortalPeer, open_portal

PASSED_ON = ("method", "url", "params", "headers", "json", "data", "files")


@pytest.fixture(name="portal")
async def whole(database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PortalPeer]:
    """The whole application."""
    async with open_portal(settings, monkeypatch) as peer:
        yield peer


@pytest.fixture
async def shop(portal: PortalPeer) -> Client:
    """A key that may do everything: what is generated shall reach the handlers."""
    return await portal.key("shop")


@pytest.fixture
def operations(portal: PortalPeer) -> list[Any]:
    """Every operation of the OpenAPI document."""
    document = json.loads(json.dumps(portal.framework.openapi_schema.to_schema(), default=str))
    return [found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()]


@pytest.fixture
async def known(shop: Client) -> dict[str, str]:
    """Path parameters that lead to something: half of the requests use them."""
    person = (await shop.ask("POST", "/people", {"name": "Ada"}, status=201))["id"]
    address = {"channel": "sms", "value": "+14155550100"}
    return {
        "notification_id": str(await shop.send()),
        "person_id": person,
        "address_id": (await shop.ask("POST", f"/people/{person}/addresses", address, status=201))["id"],
        "group_id": (await shop.ask("POST", "/groups", {"key": "ops", "name": "Ops"}, status=201))["id"],
        "key": "code",
    }


@settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_no_generated_request_meets_an_error_of_ours(
    shop: Client, operations: list[Any], known: dict[str, str], data: st.DataObject
) -> None:
    operation = data.draw(st.sampled_from(operations))
    case = data.draw(operation.as_strategy())
    if data.draw(st.booleans()):
        case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
    request = case.as_transport_kwargs(base_url=shop.peer.settings.base_url)
    given_to = {name: value for name, value in request.items() if name in PASSED_ON and value is not None}
    given_to["headers"] = {**given_to.get("headers", {}), **shop.headers}
    if isinstance(given_to.get("data"), bytes | str):
        given_to["content"] = given_to.pop("data")
    answer = await shop.http.request(**given_to)
    event(f"{answer.status_code}")
    assert answer.status_code < 500, (request, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", request
        assert {"status", "code", "detail"} <= answer.json().keys()
