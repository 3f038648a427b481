"""Holding a notification still: the locks under which it may be changed from outside.

A worker owns a notification while the chunk that works on it is leased. Whoever wants to change it locks the rows of
its chunks first; when one is leased the change is refused.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.errors import Conflict, NotFound, PreconditionFailed
from portal.ledger.models import Chunk, Delivery, Notification
from portal.ledger.packing import unpack
from portal.ledger.statuses import DELIVERY_LIVE, LIVE
from portal.notifications.queries import find_packed, visible_to

AnyRow = Row[*tuple[Any, ...]]
# Statuses in which the notification's own chunk works on it; afterwards those of its deliveries do.
UNPLANNED = ("held", "scheduled", "accepted")


async def hold(conn: AsyncConnection, actor: Actor, notification_id: UUID, revision: int | None = None) -> AnyRow:
    """The notification's row, locked against workers until the transaction ends; one that has ended is not locked.

    Raises `NotFound`, `PreconditionFailed` when `revision` is not the stored one, and `Conflict` while a worker has it.
    """
    row = await _row(conn, actor, notification_id) or await _unpacked(conn, actor, notification_id)
    if revision is not None and row.revision != revision:
        raise PreconditionFailed(f"The notification has revision {row.revision} by now; read it again.")
    return row if row.status not in LIVE else await _locked(conn, actor, row)


async def let_go(conn: AsyncConnection, chunk_ids: set[UUID]) -> None:
    """Take one member off each of these locked chunks; a chunk that has nothing left to do is done."""
    for chunk_id in sorted(chunk_ids):
        await conn.execute(update(Chunk).where(Chunk.id == chunk_id, Chunk.size > 0).values(size=Chunk.size - 1))
        waiting = exists(
            select(Notification.id).where(Notification.chunk_id == chunk_id, Notification.status.in_(LIVE))
        )
        moving = exists(select(Delivery.id).where(Delivery.chunk_id == chunk_id, Delivery.status.in_(DELIVERY_LIVE)))
        await conn.execute(
            update(Chunk).where(Chunk.id == chunk_id, Chunk.status == "ready", ~waiting, ~moving).values(status="done")
        )


async def chunks_of(conn: AsyncConnection, row: AnyRow) -> set[UUID]:
    """The chunks that work on a live notification; raises `Conflict` when a delivery's fate is in doubt."""
    if row.status in UNPLANNED:
        return {row.chunk_id}
    statement = select(Delivery.chunk_id, Delivery.status).where(
        Delivery.notification_id == row.id, Delivery.status.in_(DELIVERY_LIVE)
    )
    found = (await conn.execute(statement)).all()
    if any(delivery.status in ("unknown", "sending") or delivery.chunk_id is None for delivery in found):
        raise Conflict("It may have been handed to a provider already; nobody can tell yet.", code="in_doubt")
    return {delivery.chunk_id for delivery in found}


def leased() -> Conflict:
    """What somebody hears who comes too late."""
    return Conflict("A worker is sending this notification now; it can no longer be changed.", code="leased")


async def _unpacked(conn: AsyncConnection, actor: Actor, notification_id: UUID) -> AnyRow:
    """The row of a notification that lay packed, or became a row between two reads."""
    packed = await find_packed(conn, actor, notification_id)
    if packed is not None:
        await unpack(conn, packed[0].id)
    row = await _row(conn, actor, notification_id)
    if row is None:
        raise NotFound("notification", notification_id) if packed is None else leased()
    return row


async def _locked(conn: AsyncConnection, actor: Actor, row: AnyRow) -> AnyRow:
    """The row as it is once its chunks are locked; raises `Conflict` when one is leased or the work moved on."""
    chunk_ids = await chunks_of(conn, row)
    # Without ORDER BY two of us could lock the same chunks in opposite orders.
    statement = select(Chunk.id, Chunk.status).where(Chunk.id.in_(chunk_ids)).order_by(Chunk.id).with_for_update()
    chunks = (await conn.execute(statement)).all()
    if len(chunks) != len(chunk_ids) or any(chunk.status != "ready" for chunk in chunks):
        raise leased()
    again = await _row(conn, actor, row.id)
    if again is None or again.status != row.status or again.revision != row.revision:
        raise leased()
    if await chunks_of(conn, again) != chunk_ids:
        raise leased()
    return again


async def _row(conn: AsyncConnection, actor: Actor, notification_id: UUID) -> AnyRow | None:
    statement = select(*Notification.__table__.columns).where(Notification.id == notification_id, *visible_to(actor))
    return (await conn.execute(statement)).first()
