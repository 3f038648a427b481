"""Fixtures of the fault tests. Each test has a database, a Redis and processes of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import have
from tests.faults.harness import Report
from tests.faults.servers import Valkey


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """The seed, how long the run is, and the figures."""
    made = Report()
    yield made
    made.write()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of this test with an append-only file, running."""
    server = have(lambda: Valkey(tmp_path / "valkey"))
    server.start()
    yield server
    server.end()
