"""Housekeeping, meant for once an hour; a worker that does it twice does no harm."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import Database, db_now
from portal.identity.models import SignInLink
from portal.identity.throttle import forget_old_failures
from portal.web.sessions import drop_dead_sessions

# Used and old links are kept a while, so that somebody who asks can be told what became of theirs.
KEEP_LINKS_SECONDS = 7 * 86_400.0


async def tidy(db: Database) -> None:
    """Delete sessions, sign-in links and failure counters that have no effect any more."""
    await db.transact(_tidy)


async def _tidy(conn: AsyncConnection) -> None:
    await drop_dead_sessions(conn)
    await forget_old_failures(conn)
    await conn.execute(delete(SignInLink).where(SignInLink.expires_at < db_now(-KEEP_LINKS_SECONDS)))
