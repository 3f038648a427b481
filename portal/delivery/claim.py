"""Claiming: one compare-and-set on one row, by the database's clock, and the lease that it gives."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import Database, bulk, db_now, new_id
from portal.ledger import gate
from portal.ledger.counts import count_terminal
from portal.ledger.models import Chunk, Delivery, Notification
from portal.ledger.packing import decode_members, insert_members, notification_row
from portal.ledger.statuses import DELIVERY_LIVE, LIVE

# A lease that ended twice without an orderly end: the chunk is halved. A single one that did it this often is set aside.
CRASHES_TO_HALVE = 2
CRASHES_TO_QUARANTINE = 3
# The crashes of a chunk once it is claimed: a lease that ran out is one more.
_CRASHES = Chunk.crashes + case((Chunk.status == "leased", 1), else_=0)

END_SECONDS = 1.0

log = logging.getLogger(__name__)


class Offered(NamedTuple):
    """A chunk that ended its workers was cut up; these are offered instead."""

    lane: str
    chunks: list[UUID]


class LeaseLost(Exception):
    """Another worker has the chunk, or its lease ran out: stop and roll back."""


class Lease:
    """One worker's right to work on a chunk.

    `chunk` is its row as claimed; `lost` is set when somebody else has the right or nobody any more; `only_vendors` is
    set when nothing of this process is needed any more but patience with vendors.
    """

    def __init__(self, db: Database, chunk: Row[Any], seconds: float) -> None:
        self.db = db
        self.chunk = chunk
        self.seconds = seconds
        self.lost = asyncio.Event()
        self.only_vendors = asyncio.Event()
        self._renewed = time.monotonic()

    @property
    def overdue(self) -> bool:
        """Whether the lease's time is up as far as this process knows: it must not send, but it may try to settle.

        While the database is away nobody can claim either; when it is back, the fence decides.
        """
        return time.monotonic() - self._renewed > self.seconds

    async def guard(self, conn: AsyncConnection, **values: Any) -> None:
        """Begin a transaction that settles: lock the chunk's row and renew, or raise `LeaseLost`."""
        values.setdefault("lease_until", db_now(self.seconds))
        started = time.monotonic()
        held = await conn.execute(update(Chunk).where(*self._mine()).values(**values))
        if not held.rowcount:
            self.lost.set()
            raise LeaseLost
        self._renewed = started

    async def finish(self, conn: AsyncConnection) -> None:
        """The orderly end, in the caller's transaction: nothing is left to do."""
        await self.guard(conn, status="done", lease_owner=None, lease_until=None)

    async def hand_back(self) -> None:
        """The orderly end of a worker that stops before the work is done: anybody may claim the rest at once."""
        async with self.db.write() as conn:
            await conn.execute(
                update(Chunk)
                .where(*self._mine())
                .values(status="ready", lease_owner=None, lease_until=None, rung_at=None)
            )

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Renew in the background every quarter of the lease while the block runs."""
        ended = asyncio.Event()
        task = asyncio.create_task(self._renew(ended), name="lease")
        try:
            yield
        finally:
            # Asked to end rather than cancelled: in the middle of a renewal its connection could be lost.
            ended.set()
            _, late = await asyncio.wait({task}, timeout=END_SECONDS)
            for renewal in late:
                renewal.cancel()

    def _mine(self) -> tuple[Any, ...]:
        return (Chunk.id == self.chunk.id, Chunk.fence == self.chunk.fence, Chunk.status == "leased")

    async def _renew(self, ended: asyncio.Event) -> None:
        while not self.lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self.seconds / 4):
                    await ended.wait()
                return
            try:
                async with self.db.write() as conn:
                    await self.guard(conn)
            except LeaseLost:
                return
            except Exception as error:
                # The database may be away for a moment; when it is back, the fence says whose the chunk is.
                log.warning("a lease could not be renewed: %s", type(error).__name__)


async def claim(
    db: Database,
    chunk_id: UUID,
    *,
    owner: str,
    seconds: float,
    stopped_applications: Sequence[UUID] = (),
    suspects: bool = True,
    last_chances: bool = True,
) -> Lease | Offered | None:
    """The lease of a due chunk, or None when it is not due, held by somebody, done, or behind a closed gate.

    A chunk whose lease ran out without an orderly end is claimed with one more crash; after two it is halved and the
    halves are offered instead: ring them.

    `suspects`: also one whose worker ended. `last_chances`: also a single notification whose worker ended twice.
    """
    allowed: list[ColumnElement[bool]] = []
    if stopped_applications:
        allowed.append(Chunk.application_id.not_in(stopped_applications))
    if not suspects:
        allowed += [Chunk.status == "ready", Chunk.crashes == 0]
    elif not last_chances:
        allowed.append(or_(Chunk.size > 1, _CRASHES != CRASHES_TO_HALVE))
    row = await _take(db, chunk_id, owner, seconds, allowed)
    if row is None:
        return None
    lease = Lease(db, row, seconds)
    if row.crashes >= CRASHES_TO_HALVE and (row.size > 1 or row.crashes >= CRASHES_TO_QUARANTINE):
        return Offered(row.lane, await db.transact(_contain, lease))
    return lease


async def _take(
    db: Database, chunk_id: UUID, owner: str, seconds: float, allowed: Sequence[ColumnElement[bool]]
) -> Row[Any] | None:
    statement = (
        update(Chunk)
        .where(
            Chunk.id == chunk_id,
            Chunk.not_before <= db_now(),
            or_(Chunk.status == "ready", and_(Chunk.status == "leased", Chunk.lease_until < db_now())),
            gate.is_open(),
            *allowed,
        )
        # MariaDB assigns from left to right, each seeing the ones before: `crashes` must come before `status`.
        .ordered_values(
            (Chunk.crashes, _CRASHES),
            (Chunk.status, "leased"),
            (Chunk.lease_owner, owner),
            (Chunk.lease_until, db_now(seconds)),
            (Chunk.fence, Chunk.fence + 1),
        )
    )
    if db.engine.dialect.update_returning:
        async with db.single() as conn:
            return (await conn.execute(statement.returning(*Chunk.__table__.columns))).first()
    # In one transaction: read outside it, the row might be another claim's already, with another fence.
    async with db.write() as conn:
        if not (await conn.execute(statement)).rowcount:
            return None
        return (await conn.execute(select(Chunk).where(Chunk.id == chunk_id))).one()


async def _contain(conn: AsyncConnection, lease: Lease) -> list[UUID]:
    """Narrow a crash down: halve the chunk, or set its single notification aside. Returns the halves."""
    halves = []
    chunk = lease.chunk
    await lease.guard(conn, members=None)
    if chunk.members is not None:
        members = decode_members(chunk.members)
        await insert_members(conn, members, [notification_row(member, chunk, "accepted") for member in members])
    ids = await _members(conn, chunk)
    if len(ids) > 1:
        middle = (len(ids) + 1) // 2
        for half in (ids[:middle], ids[middle:]):
            halves.append(await _offer(conn, chunk, half))
        log.warning("chunk %s ended its worker %d times: halved", chunk.id, chunk.crashes)
    elif ids and chunk.crashes < CRASHES_TO_QUARANTINE:
        # The others have ended: what is left has not been alone yet.
        halves.append(await _offer(conn, chunk, ids))
    elif ids:
        await quarantine(conn, chunk, ids[0])
        log.error("notification %s ended its worker %d times: set aside", ids[0], chunk.crashes)
    await lease.finish(conn)
    return halves


async def _members(conn: AsyncConnection, chunk: Row[Any]) -> list[UUID]:
    """The notifications that a chunk still works on, in order."""
    sending = select(Delivery.notification_id).where(Delivery.chunk_id == chunk.id, Delivery.status.in_(DELIVERY_LIVE))
    found = set((await conn.execute(sending)).scalars())
    if chunk.kind == "plan":
        # Those that are planned and have no delivery here go on in another chunk.
        unplanned = ("accepted", "scheduled", "held")
        waiting = select(Notification.id).where(Notification.chunk_id == chunk.id, Notification.status.in_(unplanned))
        found |= set((await conn.execute(waiting)).scalars())
    return sorted(found)


async def _offer(conn: AsyncConnection, chunk: Row[Any], ids: list[UUID]) -> UUID:
    """A new chunk with these notifications of `chunk`. One more crash suffices to halve it again. Returns its id."""
    half = new_id()
    await bulk.insert(conn, Chunk, [derived_chunk(chunk, id=half, kind=chunk.kind, size=len(ids), crashes=1)])
    if chunk.kind == "plan":
        where = and_(Notification.chunk_id == chunk.id, Notification.id.in_(ids))
        await conn.execute(update(Notification).where(where).values(chunk_id=half))
    where = and_(Delivery.chunk_id == chunk.id, Delivery.notification_id.in_(ids))
    await conn.execute(update(Delivery).where(where).values(chunk_id=half))
    return half


async def quarantine(conn: AsyncConnection, chunk: Row[Any], notification_id: UUID) -> None:
    """End a notification that ends processes, so that its neighbours can live."""
    where = and_(Delivery.notification_id == notification_id, Delivery.status.in_(DELIVERY_LIVE))
    await conn.execute(
        update(Delivery).where(where).values(status="dead", reason="crashed", chunk_id=None, updated_at=db_now())
    )
    sent = await conn.execute(
        select(func.count()).where(Delivery.notification_id == notification_id, Delivery.status == "sent")
    )
    status = "sent" if sent.scalar_one() else "failed"
    ended = await conn.execute(
        update(Notification)
        .where(Notification.id == notification_id, Notification.status.in_(LIVE))
        .values(status=status, reason="crashed", settled_at=db_now())
    )
    await count_terminal(conn, chunk.lane, {status: ended.rowcount})


def derived_chunk(chunk: Row[Any], **values: Any) -> dict[str, Any]:
    """A chunk row of the same application, lane and batch as `chunk`; it accepts nothing."""
    row = {
        "id": new_id(),
        "kind": "send",
        "lane": chunk.lane,
        "application_id": chunk.application_id,
        "batch_id": chunk.batch_id,
        "account_id": None,
        "status": "ready",
        "size": 0,
        "accepted": 0,
        "counted": True,
        "fence": 0,
        "crashes": 0,
    }
    return row | values


__all__ = ["Lease", "LeaseLost", "Offered", "claim", "derived_chunk", "quarantine"]
