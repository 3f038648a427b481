"""Sweeping: whatever is due and was not rung, whose worker died, or whose time is up.

Every worker sweeps; an election row keeps it to one at a time, and two at once do no harm: each step is a conditional
write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import Database, db_now
from portal.errors import PortalError
from portal.ledger.counts import count_terminal, fold_accepted, fold_minutes
from portal.ledger.elect import elect
from portal.ledger.models import Chunk, Delivery, Idempotency, Notification
from portal.ledger.packing import unpack
from portal.ledger.statuses import DELIVERY_LIVE, LANES, LIVE
from portal.notifications.attachments import forget_attachments
from portal.queues import Bell, Hint

FAST_SECONDS = 1.0
SLOW_SECONDS = 5.0
ELECTED_SECONDS = 3.0
# A due chunk that nobody rang for so long is rung (again).
NEVER_RUNG_SECONDS = 2.0
RUNG_SECONDS = 15.0
PACKED_SECONDS = 1.0
AT_ONCE = 500
LATER_AT_ONCE = 100
WAITING_AT_ONCE = 5

log = logging.getLogger(__name__)


class Sweeper:
    """The periodic work of delivery in one process."""

    def __init__(self, db: Database, bell: Bell, *, owner: str, idempotency_hours: float, unknown_hours: float) -> None:
        self._db = db
        self._bell = bell
        self._owner = owner
        self._idempotency = idempotency_hours * 3600
        self._unknown = unknown_hours * 3600

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until `stop` is set; no failure ends it."""
        await asyncio.gather(self._watch_leases(stop), self._sweep(stop))

    async def _watch_leases(self, stop: asyncio.Event) -> None:
        """Every second, elected or not: neither the end of who was elected nor a long beat holds up a take-over."""
        while not stop.is_set():
            try:
                await self.leases()
            except Exception as error:
                log.warning("expired leases could not be read: %s", type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAST_SECONDS):
                    await stop.wait()

    async def _sweep(self, stop: asyncio.Event) -> None:
        beats = 0
        while not stop.is_set():
            try:
                if await self._elected():
                    await self.fast()
                    if beats % round(SLOW_SECONDS / FAST_SECONDS) == 0:
                        await self.slow()
            except Exception as error:
                level = logging.WARNING if isinstance(error, PortalError) else logging.ERROR
                log.log(level, "a sweep failed: %s", type(error).__name__, exc_info=level == logging.ERROR)
            beats += 1
            try:
                async with asyncio.timeout(FAST_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue

    async def leases(self) -> None:
        """Ring the chunks whose lease ran out."""
        # By their own due time: whoever waits for a dead worker's chunk has waited longer than the backlog.
        async with self._db.read() as conn:
            hints = await expired_leases(conn)
        await self._bell.ring_many(hints)

    async def fast(self) -> None:
        """Every second: members that have waited packed for longer than a second."""
        for chunk_id in await self._waiting_packed():
            await self._db.transact(unpack, chunk_id)

    async def slow(self) -> None:
        """Every five seconds: what is due and was not rung, what expired, what is forgotten, and the counts."""
        await self._ring(await self._db.transact(unrung))
        while await self._db.transact(fold_accepted):
            continue
        await self._db.transact(expire_waiting)
        await self._db.transact(give_up_unknown, self._unknown)
        await self._db.transact(forget_keys, self._idempotency)
        await self._db.transact(forget_attachments)
        await self._db.transact(fold_minutes, datetime.now(UTC) - timedelta(minutes=5))

    async def _waiting_packed(self) -> list[UUID]:
        """Chunks to unpack now: those that are due later, and a few of the newest that wait for a worker.

        Only a few: a backlog is planned faster while it is packed, and lists unpack what they show.
        """
        packed = select(Chunk.id).where(Chunk.members.is_not(None), Chunk.status == "ready")
        later = packed.where(Chunk.not_before > db_now(PACKED_SECONDS)).limit(LATER_AT_ONCE)
        waiting = packed.where(Chunk.created_at < db_now(-PACKED_SECONDS), Chunk.not_before <= db_now())
        newest = waiting.order_by(Chunk.last_id.desc()).limit(WAITING_AT_ONCE)
        async with self._db.read() as conn:
            return [id_ for statement in (later, newest) for id_ in (await conn.execute(statement)).scalars()]

    async def _ring(self, chunks: list[tuple[str, UUID]]) -> None:
        await self._bell.ring_many([Hint(lane, id_, None) for lane, id_ in chunks])

    async def _elected(self) -> bool:
        return await self._db.transact(elect, "sweep", self._owner, ELECTED_SECONDS)


async def expired_leases(conn: AsyncConnection) -> list[Hint]:
    """Chunks whose lease ran out: to be rung at once. The claim counts the crash."""
    statement = (
        select(Chunk.lane, Chunk.id, Chunk.not_before)
        .where(Chunk.status == "leased", Chunk.lease_until < db_now())
        .order_by(Chunk.lease_until)
        .limit(AT_ONCE)
    )
    return [Hint(row.lane, row.id, row.not_before) for row in await conn.execute(statement)]


async def unrung(conn: AsyncConnection) -> list[tuple[str, UUID]]:
    """Due chunks that nobody rang, or long ago, high first; marked as rung."""
    found: list[tuple[str, UUID]] = []
    for lane in LANES:
        forgotten = or_(
            (Chunk.rung_at.is_(None)) & (Chunk.not_before <= db_now(-NEVER_RUNG_SECONDS)),
            Chunk.rung_at < db_now(-RUNG_SECONDS),
        )
        statement = (
            select(Chunk.id)
            .where(Chunk.status == "ready", Chunk.lane == lane, Chunk.not_before <= db_now(), forgotten)
            .order_by(Chunk.not_before)
            .limit(AT_ONCE)
        )
        ids = list((await conn.execute(statement)).scalars())
        if ids:
            await conn.execute(update(Chunk).where(Chunk.id.in_(ids)).values(rung_at=db_now()))
        found += [(lane, id_) for id_ in ids]
    return found


async def expire_waiting(conn: AsyncConnection) -> None:
    """End notifications that outlived their use while they waited for their time; those at work end by themselves."""
    statement = (
        select(Notification.id, Notification.lane, Notification.chunk_id)
        .join(Chunk, Chunk.id == Notification.chunk_id)
        .where(
            Notification.status.in_(("accepted", "scheduled", "held")),
            Notification.expires_at < db_now(),
            Chunk.status == "ready",
        )
        .limit(AT_ONCE)
    )
    rows = (await conn.execute(statement)).all()
    for lane in LANES:
        mine = [row for row in rows if row.lane == lane]
        chunks = {row.chunk_id for row in mine}
        # The chunk's row lock keeps a worker from planning them meanwhile.
        held = await conn.execute(
            select(Chunk.id).where(Chunk.id.in_(chunks), Chunk.status == "ready").with_for_update()
        )
        free = set(held.scalars())
        ids = [row.id for row in mine if row.chunk_id in free]
        if not ids:
            continue
        ended = await conn.execute(
            update(Notification)
            .where(Notification.id.in_(ids), Notification.status.in_(LIVE))
            .values(status="expired", reason="expired", settled_at=db_now())
        )
        await count_terminal(conn, lane, {"expired": ended.rowcount})


async def give_up_unknown(conn: AsyncConnection, seconds: float) -> None:
    """Deliveries that nobody could tell about in time are dead."""
    statement = (
        select(Delivery.id, Delivery.notification_id)
        .where(Delivery.status == "unknown", Delivery.updated_at < db_now(-seconds))
        .limit(AT_ONCE)
    )
    rows = (await conn.execute(statement)).all()
    if not rows:
        return
    ids = sorted({row.notification_id for row in rows})
    locked = select(Notification.id, Notification.lane).where(Notification.id.in_(ids)).order_by(Notification.id)
    lanes = {row.id: row.lane for row in await conn.execute(locked.with_for_update())}
    await conn.execute(
        update(Delivery)
        .where(Delivery.id.in_([row.id for row in rows]), Delivery.status == "unknown")
        .values(status="dead", reason="unknown", updated_at=db_now())
    )
    for notification_id in ids:
        await _end_if_done(conn, notification_id, lanes[notification_id])


async def _end_if_done(conn: AsyncConnection, notification_id: UUID, lane: str) -> None:
    statuses = set(
        (await conn.execute(select(Delivery.status).where(Delivery.notification_id == notification_id))).scalars()
    )
    if statuses & set(DELIVERY_LIVE):
        return
    status = "sent" if "sent" in statuses else "failed"
    ended = await conn.execute(
        update(Notification)
        .where(Notification.id == notification_id, Notification.status.in_(LIVE))
        .values(status=status, reason=None if status == "sent" else "unknown", settled_at=db_now())
    )
    await count_terminal(conn, lane, {status: ended.rowcount})


async def forget_keys(conn: AsyncConnection, seconds: float) -> None:
    """Remove idempotency keys whose time is up."""
    await conn.execute(delete(Idempotency).where(Idempotency.created_at < db_now(-seconds)))
