"""How notifications lie packed in a chunk, and how they become rows.

Accepting writes one chunk row; its members are msgpack. `unpack` turns them into notification rows once, in the
transaction that holds the chunk's row lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import bulk, id_from
from portal.ledger.models import Chunk, Notification, NotificationContent, NotificationMetadata

_EPOCH_MICROSECONDS = 1_000_000


class Content(Struct, omit_defaults=True, kw_only=True, gc=False):
    """Whom to and with which data; the part of a notification that may be erased."""

    # One of {"person_id"}, {"external_id": {"source", "id"}}, {"channel", "address"}.
    to: dict[str, Any]
    data: dict[str, Any] = {}
    channels: list[str] | None = None
    locale: str | None = None
    reply_to: str | None = None
    attachments: list[str] = []


class Member(Struct, array_like=True, gc=False):
    """One packed notification. Instants are microseconds since 1970; ids are 16 bytes."""

    id: bytes
    version_id: bytes
    template: str
    category: str
    mode: str
    created: int
    due: int
    expires: int | None
    reference: str | None
    replay_of: bytes | None
    metadata: dict[str, str] | None
    content: bytes


_encoder = msgspec.msgpack.Encoder()
_members = msgspec.msgpack.Decoder(list[Member])
_content = msgspec.msgpack.Decoder(Content)


def encode_content(content: Content) -> bytes:
    """The content as it is stored; raises `OverflowError` for an integer beyond 64 bits."""
    return _encoder.encode(content)


def decode_content(stored: bytes) -> Content:
    """The content of a stored row."""
    return _content.decode(stored)


def encode_member(member: Member) -> bytes:
    """One member, ready to be joined with others by `join_members`."""
    return _encoder.encode(member)


def join_members(encoded: Sequence[bytes]) -> bytes:
    """The `members` column of a chunk from encoded members."""
    return _encoder.encode([Raw(member) for member in encoded])


def decode_members(packed: bytes) -> list[Member]:
    """The members of a packed chunk, in the order in which they were accepted."""
    return _members.decode(packed)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware instant."""
    return round(moment.timestamp() * _EPOCH_MICROSECONDS)


def from_microseconds(microseconds: int) -> datetime:
    """The instant, aware, in UTC."""
    return datetime.fromtimestamp(microseconds / _EPOCH_MICROSECONDS, UTC)


@lru_cache(maxsize=1024)
def _version_id(stored: bytes) -> UUID:
    # Few versions are in use at a time, and making a UUID is a tenth of making a row.
    return id_from(stored)


def notification_row(member: Member, chunk: Any, status: str) -> dict[str, Any]:
    """The notification row of a member; `chunk` is the row of its chunk."""
    return {
        "id": id_from(member.id),
        "application_id": chunk.application_id,
        "chunk_id": chunk.id,
        "batch_id": chunk.batch_id,
        "template_version_id": _version_id(member.version_id),
        "template_key": member.template,
        "category": member.category,
        "person_id": None,
        "lane": chunk.lane,
        "mode": member.mode,
        "status": status,
        "reason": None,
        "outcome": "none",
        "reference": member.reference,
        "replay_of": id_from(member.replay_of) if member.replay_of else None,
        "revision": 1,
        "due_at": from_microseconds(member.due),
        "expires_at": from_microseconds(member.expires) if member.expires else None,
        "created_at": from_microseconds(member.created),
        "settled_at": None,
    }


async def insert_members(conn: AsyncConnection, members: Iterable[Member], rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows of unpacked members with their content and metadata; `rows` in the order of `members`."""
    members = list(members)
    await bulk.insert(conn, Notification, rows)
    contents = [
        {"notification_id": row["id"], "content": member.content} for row, member in zip(rows, members, strict=True)
    ]
    await bulk.insert(conn, NotificationContent, contents)
    pairs = [
        {"notification_id": row["id"], "name": name, "value": value}
        for row, member in zip(rows, members, strict=True)
        for name, value in (member.metadata or {}).items()
    ]
    await bulk.insert(conn, NotificationMetadata, pairs)


async def unpack(conn: AsyncConnection, chunk_id: UUID) -> bool:
    """Turn a waiting chunk's members into rows; False when they are rows already or a worker has the chunk.

    Locks the chunk's row until the caller's transaction ends.
    """
    locked = await conn.execute(
        update(Chunk)
        .where(Chunk.id == chunk_id, Chunk.status == "ready", Chunk.members.is_not(None))
        .values(kind="plan")
    )
    if not locked.rowcount:
        return False
    chunk = (await conn.execute(select(Chunk).where(Chunk.id == chunk_id))).one()
    members = decode_members(chunk.members)
    now = datetime.now(UTC)
    rows = [notification_row(member, chunk, waiting_status(from_microseconds(member.due), now)) for member in members]
    await insert_members(conn, members, rows)
    await conn.execute(update(Chunk).where(Chunk.id == chunk_id).values(members=None))
    return True


def waiting_status(due_at: datetime, now: datetime) -> str:
    """The status of a notification that nobody works on yet."""
    return "scheduled" if due_at > now else "accepted"
