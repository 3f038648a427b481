"""The whole application over the test's database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from portal.settings import Settings
from tests.portal_peer import Client, PortalPeer, open_portal


@pytest.fixture
async def portal(database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PortalPeer]:
    """The application; no worker runs beside it."""
    async with open_portal(settings, monkeypatch) as peer:
        yield peer


@pytest.fixture
async def shop(portal: PortalPeer) -> Client:
    """A client with every scope."""
    return await portal.key("shop")
