"""The balance: everything accepted is in flight or in exactly one terminal status.

Three independent sources: what was accepted (the size of each chunk as it was accepted), what was settled (counts that
are appended in the settling transaction), and the notifications that live (the partial index, and members that are
still packed). The counts of accepted chunks are folded into `ledger_count` by the sweeper.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import bulk, new_id
from portal.errors import Conflict
from portal.ledger.models import Chunk, LedgerCount, Notification
from portal.ledger.statuses import LANES, LIVE, TERMINAL

FOLD_AT_ONCE = 5_000
MARK_AT_ONCE = 500


class Balance(Struct, kw_only=True):
    """Notifications: all that were accepted, the ended by status, the live. `difference` is 0 when all is well."""

    accepted: int
    terminal: dict[str, int]
    in_flight: int
    difference: int


async def count_terminal(conn: AsyncConnection, lane: str, ended: Mapping[str, int]) -> None:
    """Note in the settling transaction how many notifications of a lane came to which end."""
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    rows = [
        {"id": new_id(), "minute": minute, "lane": lane, "event": status, "n": n} for status, n in ended.items() if n
    ]
    await bulk.insert(conn, LedgerCount, rows)


async def balance(conn: AsyncConnection) -> Balance:
    """The balance of this moment; `conn` should be one transaction's, or the sources may be an instant apart."""
    counted = {
        event: int(n)
        for event, n in await conn.execute(
            select(LedgerCount.event, func.sum(LedgerCount.n)).group_by(LedgerCount.event)
        )
    }
    fresh = await conn.execute(select(func.coalesce(func.sum(Chunk.accepted), 0)).where(~Chunk.counted))
    accepted = counted.pop("accepted", 0) + int(fresh.scalar_one())
    live = await conn.execute(select(func.count()).select_from(Notification).where(Notification.status.in_(LIVE)))
    packed = await conn.execute(select(func.coalesce(func.sum(Chunk.size), 0)).where(Chunk.members.is_not(None)))
    in_flight = int(live.scalar_one()) + int(packed.scalar_one())
    terminal = {status: counted.get(status, 0) for status in TERMINAL}
    return Balance(
        accepted=accepted,
        terminal=terminal,
        in_flight=in_flight,
        difference=accepted - sum(terminal.values()) - in_flight,
    )


async def recount(conn: AsyncConnection) -> dict[str, int]:
    """Every notification row by status, counted one by one: the slow third source."""
    rows = await conn.execute(select(Notification.status, func.count()).group_by(Notification.status))
    return {status: int(n) for status, n in rows}


async def fold_accepted(conn: AsyncConnection) -> int:
    """Move the counts of accepted chunks into `ledger_count`; the number of chunks that were folded."""
    rows = (
        await conn.execute(
            select(Chunk.id, Chunk.lane, Chunk.accepted).where(~Chunk.counted).order_by(Chunk.id).limit(FOLD_AT_ONCE)
        )
    ).all()
    folded: dict[str, int] = {}
    for lane in LANES:
        mine = [row for row in rows if row.lane == lane]
        for start in range(0, len(mine), MARK_AT_ONCE):
            part = mine[start : start + MARK_AT_ONCE]
            marked = await conn.execute(
                update(Chunk).where(Chunk.id.in_([row.id for row in part]), ~Chunk.counted).values(counted=True)
            )
            if marked.rowcount != len(part):
                raise Conflict("Another sweeper folds the same chunks.")
            folded[lane] = folded.get(lane, 0) + sum(row.accepted for row in part)
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    counts = [
        {"id": new_id(), "minute": minute, "lane": lane, "event": "accepted", "n": n} for lane, n in folded.items()
    ]
    await bulk.insert(conn, LedgerCount, [row for row in counts if row["n"]])
    return len(rows)


async def fold_minutes(conn: AsyncConnection, before: datetime) -> int:
    """Join the appended rows of past minutes into one per minute, lane and event; the number of groups joined."""
    groups = (
        await conn.execute(
            select(LedgerCount.minute, LedgerCount.lane, LedgerCount.event)
            .where(LedgerCount.minute < before)
            .group_by(LedgerCount.minute, LedgerCount.lane, LedgerCount.event)
            .having(func.count() > 1)
            .limit(200)
        )
    ).all()
    for minute, lane, event in groups:
        where = (LedgerCount.minute == minute, LedgerCount.lane == lane, LedgerCount.event == event)
        rows = (await conn.execute(select(LedgerCount.id, LedgerCount.n).where(*where))).all()
        for start in range(0, len(rows), MARK_AT_ONCE):
            part = [row.id for row in rows[start : start + MARK_AT_ONCE]]
            gone = await conn.execute(delete(LedgerCount).where(LedgerCount.id.in_(part)))
            if gone.rowcount != len(part):
                raise Conflict("Another sweeper folds the same minute.")
        row = {"id": new_id(), "minute": minute, "lane": lane, "event": event, "n": sum(row.n for row in rows)}
        await bulk.insert(conn, LedgerCount, [row])
    return len(groups)
