"""Elections: who does the periodic work of a kind. Two at once must do no harm; the election only spares work."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import bulk, db_now
from portal.ledger.models import Election


async def elect(conn: AsyncConnection, kind: str, owner: str, seconds: float) -> bool:
    """Whether `owner` does the periodic work of this kind for the next `seconds`."""
    free = or_(Election.owner == owner, Election.until < db_now())
    won = await conn.execute(
        update(Election).where(Election.kind == kind, free).values(owner=owner, until=db_now(seconds))
    )
    if won.rowcount:
        return True
    if (await conn.execute(select(Election.kind).where(Election.kind == kind))).first() is None:
        # Whoever writes the row first wins at the next beat.
        await bulk.insert_ignore(conn, Election, [{"kind": kind, "owner": owner, "until": datetime.now(UTC)}])
    return False
