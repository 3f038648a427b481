"""Reads for the start page: constant or small cost each, because they are asked every few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Row, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import db_now
from portal.ledger.models import Attempt, Chunk, LedgerCount
from portal.ledger.statuses import LANES

# How far back the health of an account is judged: in attempts, and in seconds.
ATTEMPTS_LOOKED_AT = 2_000
RECENT_SECONDS = 3_600


class LaneState(Struct, frozen=True, kw_only=True):
    """A lane at this moment, in notifications. `oldest_seconds` is how long the one that is due longest has waited."""

    lane: str
    waiting: int = 0
    in_work: int = 0
    later: int = 0
    oldest_seconds: float | None = None


class AccountHealth(Struct, frozen=True):
    """How the latest attempts at an account ended."""

    account_id: UUID
    attempts: int
    failed: int


class Minute(Struct, frozen=True, kw_only=True):
    """What happened in one minute, in notifications."""

    at: datetime
    accepted: int = 0
    sent: int = 0
    failed: int = 0


async def lanes(conn: AsyncConnection) -> list[LaneState]:
    """Every lane, high first, also those in which nothing waits."""
    due = and_(Chunk.status == "ready", Chunk.not_before <= db_now())
    leased = Chunk.status == "leased"
    later = and_(Chunk.status == "ready", Chunk.not_before > db_now())
    statement = (
        select(Chunk.lane, _sum(due), _sum(leased), _sum(later), func.min(case((due, Chunk.not_before))))
        .where(Chunk.status != "done")
        .group_by(Chunk.lane)
    )
    now = (await conn.execute(select(db_now()))).scalar_one()
    rows: dict[str, Any] = {row[0]: row for row in await conn.execute(statement)}
    return [_lane(lane, rows.get(lane), now) for lane in LANES]


async def account_health(conn: AsyncConnection) -> list[AccountHealth]:
    """The accounts among the latest attempts of the last hour, the worst first. Open attempts do not count."""
    latest = (
        select(Attempt.account_id, Attempt.result, Attempt.opened_at)
        .order_by(Attempt.delivery_id.desc(), Attempt.n.desc())
        .limit(ATTEMPTS_LOOKED_AT)
        .subquery()
    )
    failed = func.sum(case((latest.c.result != "sent", 1), else_=0))
    recent = (latest.c.result.is_not(None), latest.c.opened_at > db_now(-RECENT_SECONDS))
    statement = select(latest.c.account_id, func.count(), failed).where(*recent)
    rows = (await conn.execute(statement.group_by(latest.c.account_id))).all()
    found = [AccountHealth(row[0], int(row[1]), int(row[2])) for row in rows]
    return sorted(found, key=lambda each: each.failed / each.attempts, reverse=True)


async def traffic(conn: AsyncConnection, now: datetime, minutes: int = 60) -> list[Minute]:
    """The last `minutes` minutes, the oldest first, also the quiet ones."""
    last = now.replace(second=0, microsecond=0)
    first = last - timedelta(minutes=minutes - 1)
    statement = (
        select(LedgerCount.minute, LedgerCount.event, func.sum(LedgerCount.n))
        .where(LedgerCount.minute >= first)
        .group_by(LedgerCount.minute, LedgerCount.event)
    )
    counted = {(minute, event): int(n) for minute, event, n in await conn.execute(statement)}
    every = [first + timedelta(minutes=index) for index in range(minutes)]
    return [
        Minute(at=at, **{event: counted.get((at, event), 0) for event in ("accepted", "sent", "failed")})
        for at in every
    ]


def _sum(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, Chunk.size), else_=0)), 0)


def _lane(lane: str, row: Sequence[Any] | Row[Any] | None, now: datetime) -> LaneState:
    if row is None:
        return LaneState(lane=lane)
    _, waiting, in_work, later, oldest = row
    age = None if oldest is None else max(0.0, (now - oldest).total_seconds())
    return LaneState(lane=lane, waiting=int(waiting), in_work=int(in_work), later=int(later), oldest_seconds=age)
