"""Replay: send again what ended, as a new notification that is linked to the old one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, bulk, new_id
from portal.errors import Conflict, NotFound
from portal.ledger.models import Chunk, Notification, NotificationContent, NotificationMetadata
from portal.ledger.statuses import LIVE
from portal.notifications.approval import add_to_window
from portal.notifications.queries import find_packed, visible_to
from portal.queues import Bell

AnyRow = Row[*tuple[Any, ...]]


async def replay(db: Database, actor: Actor, notification_id: UUID, *, bell: Bell, again: bool = False) -> UUID:
    """The id of a new notification with the same template version, recipient and data, due now.

    Whether it may be sent is decided anew: suppressions, caps and routes are those of today. A second replay of the
    same notification needs `again`. Raises `NotFound`, and `Conflict` when it has not ended, was erased or was
    replayed already.
    """
    actor.require("notifications:write")
    lane, chunk_id, new = await db.transact(_replay, actor, notification_id, again)
    await bell.ring(lane, chunk_id)
    return new


async def _replay(conn: AsyncConnection, actor: Actor, notification_id: UUID, again: bool) -> tuple[str, UUID, UUID]:
    old = await _ended(conn, actor, notification_id)
    content = await _content(conn, old.id)
    if not again:
        await _refuse_second(conn, old.id)
    chunk = _chunk(old)
    row = _copy(old, chunk["id"])
    # As rows and not packed: the next replay of the same notification must find this one.
    await bulk.insert(conn, Chunk, [chunk])
    await bulk.insert(conn, Notification, [row])
    await bulk.insert(conn, NotificationContent, [{"notification_id": row["id"], "content": content}])
    await bulk.insert(conn, NotificationMetadata, await _metadata(conn, old.id, row["id"]))
    if old.mode == "live":
        await add_to_window(conn, old.application_id, {(old.template_key, old.category): 1})
    if actor.kind == "user":
        after = {"replayed_as": str(row["id"])}
        await record(conn, actor, "notification.replay", f"notification/{old.id}", {"status": old.status}, after)
    return old.lane, chunk["id"], row["id"]


async def _ended(conn: AsyncConnection, actor: Actor, notification_id: UUID) -> AnyRow:
    """The original, locked so that two replays at once see each other."""
    statement = select(*Notification.__table__.columns).where(Notification.id == notification_id, *visible_to(actor))
    row = (await conn.execute(statement.with_for_update())).first()
    if row is None and await find_packed(conn, actor, notification_id) is None:
        row = (await conn.execute(statement.with_for_update())).first()
        if row is None:
            raise NotFound("notification", notification_id)
    if row is None or row.status in LIVE:
        raise Conflict("It has not ended yet; cancel it first or wait.", code="not_ended")
    return row


async def _content(conn: AsyncConnection, notification_id: UUID) -> bytes:
    statement = select(NotificationContent.content).where(NotificationContent.notification_id == notification_id)
    content = (await conn.execute(statement)).scalar()
    if content is None:
        raise Conflict("Its content was erased; there is nothing left to send.", code="erased")
    return bytes(content)


async def _refuse_second(conn: AsyncConnection, notification_id: UUID) -> None:
    earlier = select(Notification.id).where(Notification.replay_of == notification_id).limit(1)
    found = (await conn.execute(earlier)).scalar()
    if found is not None:
        raise Conflict(f'It was replayed already as {found}; send {{"again": true}} to do it again.', code="replayed")


def _chunk(old: AnyRow) -> dict[str, Any]:
    return {
        "id": new_id(),
        "kind": "plan",
        "lane": old.lane,
        "application_id": old.application_id,
        "status": "ready",
        "size": 1,
        "accepted": 1,
        "counted": False,
    }


def _copy(old: AnyRow, chunk_id: UUID) -> dict[str, Any]:
    """The new notification's row. It has as long to live as the old one had."""
    now = datetime.now(UTC)
    life = old.expires_at - old.due_at if old.expires_at is not None else None
    return dict(old._mapping) | {
        "id": new_id(),
        "chunk_id": chunk_id,
        "batch_id": None,
        "person_id": None,
        "status": "accepted",
        "reason": None,
        "outcome": "none",
        "replay_of": old.id,
        "revision": 1,
        "due_at": now,
        "expires_at": now + life if life is not None else None,
        "created_at": now,
        "settled_at": None,
    }


async def _metadata(conn: AsyncConnection, old_id: UUID, new_id_: UUID) -> list[dict[str, Any]]:
    columns = (NotificationMetadata.name, NotificationMetadata.value)
    rows = await conn.execute(select(*columns).where(NotificationMetadata.notification_id == old_id))
    return [{"notification_id": new_id_, "name": row.name, "value": row.value} for row in rows]
