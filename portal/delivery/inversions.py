"""Measuring invariant 2: lower work must not be claimed while due high work has waited for more than 50 ms."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import db_now
from portal.ledger import gate
from portal.ledger.counts import count_terminal
from portal.ledger.models import Chunk

GRACE_SECONDS = 0.05
EVENT = "inversion"


async def note_inversion(conn: AsyncConnection, lane: str, stopped_applications: Sequence[UUID]) -> bool:
    """Count an inversion when a chunk of the high lane was claimable, by the database's clock, at this claim.

    Called after each claim of a lower lane, by a worker that had a free slot for it; True when there was one.
    """
    waited = db_now(-GRACE_SECONDS)
    statement = (
        select(Chunk.id)
        .where(
            Chunk.status == "ready",
            Chunk.lane == "high",
            Chunk.not_before <= waited,
            Chunk.created_at <= waited,
            gate.is_open(),
        )
        .limit(1)
    )
    if stopped_applications:
        statement = statement.where(Chunk.application_id.not_in(stopped_applications))
    if (await conn.execute(statement)).first() is None:
        return False
    await count_terminal(conn, lane, {EVENT: 1})
    return True
