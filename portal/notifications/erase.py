"""Erase what a notification said and to whom; the record that it existed stays."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database
from portal.ledger.models import Attempt, Delivery, Notification, NotificationContent, SandboxMessage
from portal.ledger.statuses import LIVE
from portal.notifications.cancel import end_live
from portal.notifications.hold import hold


async def erase(db: Database, actor: Actor, notification_id: UUID, *, revision: int | None = None) -> None:
    """Delete the content, the addresses and what vendors said about them; a live notification is cancelled first.

    Erasing twice changes nothing. Raises `NotFound`, `PreconditionFailed`, and `Conflict` while a worker has it.
    """
    actor.require("notifications:write")
    await db.transact(_erase, actor, notification_id, revision)


async def _erase(conn: AsyncConnection, actor: Actor, notification_id: UUID, revision: int | None) -> None:
    row = await hold(conn, actor, notification_id, revision)
    status = await end_live(conn, row) if row.status in LIVE else row.status
    gone = await conn.execute(delete(NotificationContent).where(NotificationContent.notification_id == row.id))
    if not gone.rowcount:
        return
    await conn.execute(delete(SandboxMessage).where(SandboxMessage.notification_id == row.id))
    mine = select(Delivery.id).where(Delivery.notification_id == row.id)
    await conn.execute(update(Attempt).where(Attempt.delivery_id.in_(mine)).values(detail=None))
    await conn.execute(update(Delivery).where(Delivery.notification_id == row.id).values(address="", detail=None))
    if row.status not in LIVE:
        await conn.execute(
            update(Notification).where(Notification.id == row.id).values(revision=Notification.revision + 1)
        )
    await record(
        conn, actor, "notification.erase", f"notification/{row.id}", {"status": row.status}, {"status": status}
    )
