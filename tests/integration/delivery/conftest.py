"""Two web and two worker processes' worth of parts over the test's database, in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from portal.settings import Settings
from tests.integration.delivery.world import World, open_world


@pytest.fixture
async def world(database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Two doors and two workers, without Redis; the workers work when a test says so."""
    async with open_world(settings, monkeypatch) as made:
        yield made
