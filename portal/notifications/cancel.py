"""Cancel a notification that no worker has: one that waits for its time, its turn or a retry."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, db_now
from portal.errors import Conflict
from portal.ledger.counts import count_terminal
from portal.ledger.models import Delivery, Notification
from portal.ledger.statuses import DELIVERY_LIVE, LIVE, end_of
from portal.notifications.hold import chunks_of, hold, let_go

AnyRow = Row[*tuple[Any, ...]]


async def cancel(db: Database, actor: Actor, notification_id: UUID, *, revision: int | None = None) -> str:
    """Cancel what is not sent yet and return the status: `cancelled`, or `sent` when one of its deliveries had been.

    Cancelling twice changes nothing. Raises `NotFound`, `PreconditionFailed`, and `Conflict` when a worker has it or
    it ended otherwise.
    """
    actor.require("notifications:write")
    return await db.transact(_cancel, actor, notification_id, revision)


async def end_live(conn: AsyncConnection, row: AnyRow) -> str:
    """Cancel a held live notification in the caller's transaction; the status that it ends in."""
    chunk_ids = await chunks_of(conn, row)
    await conn.execute(
        update(Delivery)
        .where(Delivery.notification_id == row.id, Delivery.status.in_(DELIVERY_LIVE))
        .values(status="cancelled", reason="cancelled", chunk_id=None, updated_at=db_now())
    )
    deliveries = select(Delivery.status, Delivery.reason).where(Delivery.notification_id == row.id)
    status, reason = end_of((await conn.execute(deliveries)).all()) or ("cancelled", "cancelled")
    await conn.execute(
        update(Notification)
        .where(Notification.id == row.id)
        .values(status=status, reason=reason, settled_at=db_now(), revision=Notification.revision + 1)
    )
    await let_go(conn, chunk_ids)
    await count_terminal(conn, row.lane, {status: 1})
    return status


async def _cancel(conn: AsyncConnection, actor: Actor, notification_id: UUID, revision: int | None) -> str:
    row = await hold(conn, actor, notification_id, revision)
    if row.status == "cancelled":
        return "cancelled"
    if row.status not in LIVE:
        raise Conflict(f"The notification has ended already: it is {row.status}.", code="ended")
    status = await end_live(conn, row)
    if actor.kind == "user":
        await record(
            conn, actor, "notification.cancel", f"notification/{row.id}", {"status": row.status}, {"status": status}
        )
    return status
