"""Change a notification that no worker has: its time, its priority, its data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET
from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, bulk, new_id
from portal.errors import Conflict, InvalidInput
from portal.ledger.models import Chunk, Notification, NotificationContent
from portal.ledger.packing import decode_content, encode_content, waiting_status
from portal.ledger.statuses import LIVE
from portal.message_templates import Templates
from portal.notifications.hold import UNPLANNED, hold, leased, let_go
from portal.notifications.queries import get_notification_for
from portal.notifications.schemas import NotificationPatch
from portal.notifications.validate import FARTHEST
from portal.queues import Bell

AnyRow = Row[*tuple[Any, ...]]


async def patch(
    db: Database,
    actor: Actor,
    notification_id: UUID,
    change: NotificationPatch,
    *,
    revision: int | None,
    templates: Templates,
    bell: Bell,
) -> None:
    """Move the notification to a chunk of its own with the new time, lane and data, and raise its revision.

    Raises `NotFound`, `InvalidInput`, `PreconditionFailed`, and `Conflict` once a worker has or had it.
    """
    actor.require("notifications:write")
    if revision is None:
        raise InvalidInput({"If-Match": "expected the ETag of the notification as you read it"})
    await _check(db, actor, notification_id, change, templates)
    lane, chunk_id, due = await db.transact(_patch, actor, notification_id, revision, change)
    await bell.ring(lane, chunk_id, at=due)


async def _check(
    db: Database, actor: Actor, notification_id: UUID, change: NotificationPatch, templates: Templates
) -> None:
    """What can be wrong with the change itself; before the transaction, so that no lock waits for a template."""
    async with db.read() as conn:
        found = await get_notification_for(conn, actor, notification_id)
    problems: dict[str, str] = {}
    if change.data is not UNSET:
        version = await templates.version(found.row["template_version_id"])
        problems |= version.contract.check(change.data) if version is not None else {}
    if isinstance(change.send_at, datetime):
        if change.send_at.tzinfo is None:
            problems["send_at"] = "expected an instant with its zone, such as 2026-01-31T09:00:00Z"
        elif change.send_at > datetime.now(UTC) + FARTHEST:
            problems["send_at"] = "expected at most 366 days ahead"
        elif found.row["expires_at"] is not None and change.send_at >= found.row["expires_at"]:
            problems["send_at"] = "expected an instant before the notification expires"
    if problems:
        raise InvalidInput(problems)


async def _patch(
    conn: AsyncConnection, actor: Actor, notification_id: UUID, revision: int, change: NotificationPatch
) -> tuple[str, UUID, datetime | None]:
    row = await hold(conn, actor, notification_id, revision)
    _refuse_if_fixed(row)
    if change.data is not UNSET:
        await _replace_data(conn, row.id, change.data)
    now = datetime.now(UTC)
    due = row.due_at if change.send_at is UNSET else change.send_at or now
    lane = row.lane if change.priority is UNSET else change.priority
    chunk = _chunk_of_one(row, lane, max(due, now))
    await bulk.insert(conn, Chunk, [chunk])
    status = row.status if row.status == "held" else waiting_status(due, now)
    values = {"chunk_id": chunk["id"], "lane": lane, "due_at": due, "status": status, "revision": row.revision + 1}
    await conn.execute(update(Notification).where(Notification.id == row.id).values(**values))
    await let_go(conn, {row.chunk_id})
    if actor.kind == "user":
        before = {"send_at": row.due_at, "priority": row.lane}
        after = {"send_at": due, "priority": lane, "data_changed": change.data is not UNSET}
        await record(conn, actor, "notification.change", f"notification/{row.id}", before, after)
    return lane, chunk["id"], due if due > now else None


def _refuse_if_fixed(row: AnyRow) -> None:
    if row.status not in LIVE:
        raise Conflict(f"The notification has ended already: it is {row.status}.", code="ended")
    if row.batch_id is not None:
        raise Conflict("It belongs to a batch and is sent as it was approved.", code="sealed")
    if row.status not in UNPLANNED:
        raise leased()


async def _replace_data(conn: AsyncConnection, notification_id: UUID, data: dict[str, Any]) -> None:
    mine = NotificationContent.notification_id == notification_id
    stored = (await conn.execute(select(NotificationContent.content).where(mine))).scalar()
    if stored is None:
        raise Conflict("The content was erased.", code="erased")
    content = decode_content(stored)
    content.data = data
    try:
        encoded = encode_content(content)
    except OverflowError:
        raise InvalidInput({"data": "expected integers of at most 64 bits; send larger ones as text"}) from None
    await conn.execute(update(NotificationContent).where(mine).values(content=encoded))


def _chunk_of_one(row: AnyRow, lane: str, due: datetime) -> dict[str, Any]:
    """A plan chunk for this notification alone. It accepts nothing: the old chunk counted it."""
    return {
        "id": new_id(),
        "kind": "plan",
        "lane": lane,
        "application_id": row.application_id,
        "batch_id": row.batch_id,
        "status": "ready",
        "size": 1,
        "accepted": 0,
        "counted": True,
        "not_before": due,
    }
