"""Users from the command line."""

from __future__ import annotations

from collections.abc import Sequence

from portal.db import Database
from portal.identity.users import create_user
from portal.settings import Settings


async def create(settings: Settings, email: str, roles: Sequence[str]) -> str:
    """A new user's one-time sign-in link, absolute."""
    db = Database(settings.database, pool=2)
    try:
        return settings.base_url + await create_user(db, email, roles)
    finally:
        await db.close()
