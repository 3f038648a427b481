"""Reads of notifications, sandbox messages and what belongs to them.

Whoever reads is asked first: an API key sees its own application's notifications, a test key only those of test keys;
a user who may read notifications sees all. What somebody may not see does not exist for them.

A notification that was accepted a moment ago may still lie packed in its chunk. Reading one looks inside; listing turns
the newest packed chunks into rows first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ColumnElement, Row, Select, exists, false, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor, Application
from portal.db import Database
from portal.errors import NotFound
from portal.ledger.counts import Balance, balance
from portal.ledger.models import (
    Attempt,
    Chunk,
    Delivery,
    Idempotency,
    Notification,
    NotificationContent,
    NotificationMetadata,
    SandboxMessage,
)
from portal.ledger.packing import (
    Content,
    Member,
    decode_content,
    decode_members,
    from_microseconds,
    notification_row,
    unpack,
    waiting_status,
)
from portal.people.models import Group, Membership
from portal.web.paging import Cursor

AnyRow = Row[*tuple[Any, ...]]
# A list first unpacks at most this many chunks and about this many members; the sweeper does the rest within seconds.
CHUNKS_UNPACKED = 20
MEMBERS_UNPACKED = 1000
# The ids of one chunk's members were made within this time.
CHUNK_SPAN = timedelta(seconds=60)
# MariaDB has no partial index of packed chunks: it looks at no more than the newest.
PACKED_SPAN = timedelta(seconds=60)
BALANCE_TRIES = 5
# An id is made a moment before or after the instant that is stored beside it.
ID_SLACK = timedelta(seconds=1)


class Filters(Struct, frozen=True, kw_only=True):
    """What a list is narrowed to; instants are aware. `application` and `group` take an id or a key."""

    created_from: datetime | None = None
    created_to: datetime | None = None
    priority: str | None = None
    status: str | None = None
    channel: str | None = None
    template: str | None = None
    category: str | None = None
    group: str | None = None
    person_id: UUID | None = None
    reference: str | None = None
    application: str | None = None
    metadata: Mapping[str, str] = {}


class Found(Struct):
    """A notification with all that belongs to it. `content` is None once it was erased."""

    row: dict[str, Any]
    content: Content | None
    metadata: dict[str, str]
    deliveries: Sequence[AnyRow] = ()
    attempts: dict[UUID, list[AnyRow]] = {}


def visible_to(actor: Actor) -> list[ColumnElement[bool]]:
    """The conditions under which this actor sees a notification."""
    if actor.kind != "key":
        return []
    if actor.application_id is None:
        return [false()]
    mine: list[ColumnElement[bool]] = [Notification.application_id == actor.application_id]
    return [*mine, Notification.mode == "test"] if actor.mode == "test" else mine


async def list_notifications_for(
    conn: AsyncConnection, actor: Actor, filters: Filters, *, limit: int, after: Cursor | None = None
) -> Sequence[AnyRow]:
    """At most `limit` rows, newest first, that come after the cursor."""
    actor.require("notifications:read")
    statement = select(*Notification.__table__.columns).where(*visible_to(actor), *_conditions(filters))
    if filters.application is not None:
        # Found out first: only a known id can be read off the index in order.
        found = (await conn.execute(_ids_of(Application, filters.application))).scalar()
        if found is None:
            return []
        statement = statement.where(Notification.application_id == found)
    if after is not None:
        statement = statement.where(Notification.id < after.id)
    for name, value in filters.metadata.items():
        pair = select(NotificationMetadata.notification_id).where(
            NotificationMetadata.name == name, NotificationMetadata.value == value
        )
        statement = statement.where(Notification.id.in_(pair))
    return (await conn.execute(statement.order_by(Notification.id.desc()).limit(limit))).all()


async def show_recent(db: Database, actor: Actor) -> None:
    """Turn the newest packed chunks that this actor may see into rows, so that a list has them."""
    for chunk_id in await _packed_recently(db, actor):
        await db.transact(unpack, chunk_id)


async def get_notification_for(conn: AsyncConnection, actor: Actor, notification_id: UUID) -> Found:
    """The notification with its deliveries and attempts; raises `NotFound`."""
    actor.require("notifications:read")
    statement = (
        select(*Notification.__table__.columns, NotificationContent.content)
        .outerjoin(NotificationContent, NotificationContent.notification_id == Notification.id)
        .where(Notification.id == notification_id, *visible_to(actor))
    )
    row = (await conn.execute(statement)).mappings().first()
    if row is None:
        packed = await find_packed(conn, actor, notification_id)
        if packed is not None:
            return _found_packed(*packed)
        # Between the two reads it may have become a row.
        row = (await conn.execute(statement)).mappings().first()
    if row is None:
        raise NotFound("notification", notification_id)
    values = dict(row)
    stored = values.pop("content")
    deliveries = await _deliveries(conn, notification_id)
    return Found(
        row=values,
        content=decode_content(stored) if stored is not None else None,
        metadata=await _metadata(conn, notification_id),
        deliveries=deliveries,
        attempts=await _attempts(conn, [delivery.id for delivery in deliveries]),
    )


async def find_packed(conn: AsyncConnection, actor: Actor, notification_id: UUID) -> tuple[AnyRow, Member] | None:
    """The chunk that a notification is still packed in, and its member; None when there is none for this actor."""
    statement = (
        select(*Chunk.__table__.columns)
        .where(
            Chunk.members.is_not(None),
            Chunk.last_id.between(notification_id, _later(notification_id, CHUNK_SPAN)),
            Chunk.first_id <= notification_id,
        )
        .order_by(Chunk.last_id)
    )
    for chunk in await conn.execute(statement):
        for member in decode_members(chunk.members):
            if member.id == notification_id.bytes and _sees(actor, chunk.application_id, member.mode):
                return chunk, member
    return None


async def sandbox_messages_for(
    conn: AsyncConnection,
    actor: Actor,
    *,
    reference: str | None = None,
    notification_id: UUID | None = None,
    channel: str | None = None,
    limit: int,
    after: Cursor | None = None,
) -> Sequence[AnyRow]:
    """At most `limit` messages that sandbox accounts took, newest first, that come after the cursor."""
    actor.require("sandbox:read")
    statement = select(*SandboxMessage.__table__.columns)
    if actor.kind == "key":
        statement = statement.where(SandboxMessage.application_id == actor.application_id)
    if reference is not None:
        statement = statement.where(SandboxMessage.reference == reference)
    if notification_id is not None:
        statement = statement.where(SandboxMessage.notification_id == notification_id)
    if channel is not None:
        statement = statement.where(SandboxMessage.channel == channel)
    if after is not None:
        statement = statement.where(SandboxMessage.id < after.id)
    return (await conn.execute(statement.order_by(SandboxMessage.id.desc()).limit(limit))).all()


async def steady_balance(db: Database) -> Balance:
    """The balance; read again when its sources were read an instant apart and so differ."""
    for _ in range(BALANCE_TRIES):
        async with db.read() as conn:
            found = await balance(conn)
        if not found.difference:
            break
    return found


async def known_keys(conn: AsyncConnection, application_id: UUID, keys: Sequence[str]) -> set[str]:
    """Those of the idempotency keys that the application has used."""
    if not keys:
        return set()
    mine = (Idempotency.application_id == application_id, Idempotency.key.in_(keys))
    return set((await conn.execute(select(Idempotency.key).where(*mine))).scalars())


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    plain = {
        Notification.lane: filters.priority,
        Notification.status: filters.status,
        Notification.template_key: filters.template,
        Notification.category: filters.category,
        Notification.person_id: filters.person_id,
        Notification.reference: filters.reference,
    }
    wanted: list[ColumnElement[bool]] = [column == value for column, value in plain.items() if value is not None]
    if filters.created_from is not None:
        # The id is ordered by time and has the index; the instant is exact.
        wanted += [Notification.id >= _first_id(filters.created_from - ID_SLACK)]
        wanted += [Notification.created_at >= filters.created_from]
    if filters.created_to is not None:
        wanted += [Notification.id < _first_id(filters.created_to + ID_SLACK)]
        wanted += [Notification.created_at < filters.created_to]
    if filters.channel is not None:
        on_channel = (Delivery.notification_id == Notification.id, Delivery.channel == filters.channel)
        wanted.append(exists(select(Delivery.id).where(*on_channel)))
    if filters.group is not None:
        members = select(Membership.person_id).where(Membership.group_id.in_(_ids_of(Group, filters.group)))
        wanted.append(Notification.person_id.in_(members))
    return wanted


def _ids_of(table: type[Application | Group], named: str) -> Select[UUID]:
    """The id of the application or group with this id or key, as a subquery."""
    try:
        return select(table.id).where(table.id == UUID(named))
    except ValueError:
        return select(table.id).where(table.key == named)


async def _packed_recently(db: Database, actor: Actor) -> list[UUID]:
    statement = (
        select(Chunk.id, Chunk.size)
        .where(Chunk.members.is_not(None), Chunk.status == "ready")
        .order_by(Chunk.last_id.desc())
        .limit(CHUNKS_UNPACKED)
    )
    if actor.kind == "key":
        statement = statement.where(Chunk.application_id == actor.application_id)
    if db.dialect == "mariadb":
        statement = statement.where(Chunk.last_id >= _first_id(datetime.now(UTC) - PACKED_SPAN))
    found: list[UUID] = []
    members = 0
    async with db.read() as conn:
        for chunk_id, size in await conn.execute(statement):
            if found and members + size > MEMBERS_UNPACKED:
                break
            members += size
            found.append(chunk_id)
    return found


def _found_packed(chunk: AnyRow, member: Member) -> Found:
    status = waiting_status(from_microseconds(member.due), datetime.now(UTC))
    return Found(
        row=notification_row(member, chunk, status),
        content=decode_content(member.content),
        metadata=member.metadata or {},
    )


def _sees(actor: Actor, application_id: UUID, mode: str) -> bool:
    """As `visible_to`, for what is not a row yet."""
    if actor.kind != "key":
        return True
    return actor.application_id == application_id and (actor.mode == "live" or mode == "test")


async def _deliveries(conn: AsyncConnection, notification_id: UUID) -> Sequence[AnyRow]:
    statement = select(*Delivery.__table__.columns).where(Delivery.notification_id == notification_id)
    return (await conn.execute(statement.order_by(Delivery.id))).all()


async def _attempts(conn: AsyncConnection, delivery_ids: Sequence[UUID]) -> dict[UUID, list[AnyRow]]:
    found: defaultdict[UUID, list[AnyRow]] = defaultdict(list)
    if delivery_ids:
        statement = select(*Attempt.__table__.columns).where(Attempt.delivery_id.in_(delivery_ids))
        for row in await conn.execute(statement.order_by(Attempt.delivery_id, Attempt.n)):
            found[row.delivery_id].append(row)
    return dict(found)


async def _metadata(conn: AsyncConnection, notification_id: UUID) -> dict[str, str]:
    columns = (NotificationMetadata.name, NotificationMetadata.value)
    rows = await conn.execute(select(*columns).where(NotificationMetadata.notification_id == notification_id))
    return {name: value for name, value in sorted(rows.all())}


def _first_id(moment: datetime) -> UUID:
    """An id that is not greater than any that was made at or after this instant."""
    return UUID(int=min(max(int(moment.timestamp() * 1000), 0), 2**48 - 1) << 80)


def _later(id_: UUID, span: timedelta) -> UUID:
    """An id that many milliseconds after this one."""
    return UUID(int=min(id_.int + (int(span.total_seconds() * 1000) << 80), 2**128 - 1))
