"""The web peer as a fixture."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from portal.db import Database
from portal.settings import Settings
from tests.web_peer import WebPeer, open_web


@pytest.fixture
async def web(db: Database, settings: Settings) -> AsyncIterator[WebPeer]:
    """The pages over the test's database."""
    async with open_web(db, settings) as peer:
        yield peer
