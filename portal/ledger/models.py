"""The ledger's tables.

They are ready to be partitioned: no foreign keys among them or into them, and every unique index starts with the key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Index, Integer, SmallInteger, String, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Blob, Id, Json, UtcDateTime, db_now, exact, new_id
from portal.ledger.statuses import LIVE

_LIVE = text(f"status IN ({', '.join(repr(status) for status in LIVE)})")


def _partial(condition: Any) -> dict[str, Any]:
    """Arguments that make an index partial where the database can; MariaDB keeps the whole index."""
    return {"postgresql_where": condition, "sqlite_where": condition}


class Chunk(Base):
    """The unit of work: some notifications (`plan`) or deliveries (`send`) of one application in one lane.

    While `members` holds bytes the chunk itself is the durable record of its notifications, which lie packed inside.
    """

    __tablename__ = "chunk"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(8))
    lane: Mapped[str] = mapped_column(String(6))
    application_id: Mapped[UUID] = mapped_column(Id)
    batch_id: Mapped[UUID | None] = mapped_column(Id)
    account_id: Mapped[UUID | None] = mapped_column(Id)
    status: Mapped[str] = mapped_column(String(8), default="ready")
    # Members that are still packed, see `portal.ledger.packing`; NULL once they are rows.
    members: Mapped[bytes | None] = mapped_column(Blob)
    first_id: Mapped[UUID | None] = mapped_column(Id)
    last_id: Mapped[UUID | None] = mapped_column(Id)
    size: Mapped[int] = mapped_column(Integer)
    # Notifications that were accepted with this row: the first of the balance's three sources. 0 for derived chunks.
    accepted: Mapped[int] = mapped_column(Integer, default=0)
    counted: Mapped[bool] = mapped_column(Boolean, default=False)
    fence: Mapped[int] = mapped_column(BigInteger, default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(80))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    rung_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    crashes: Mapped[int] = mapped_column(SmallInteger, default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())

    __table_args__ = (
        Index("ix_chunk_due", "status", "lane", "application_id", "not_before", **_partial(text("status <> 'done'"))),
        Index("ix_chunk_lease", "lease_until", **_partial(text("status = 'leased'"))),
        Index("ix_chunk_packed", "last_id", "first_id", **_partial(text("members IS NOT NULL"))),
        Index("ix_chunk_uncounted", "counted", **_partial(text("NOT counted"))),
    )


class Notification(Base):
    """What was asked: one message to one person, in exactly one status."""

    __tablename__ = "notification"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    application_id: Mapped[UUID] = mapped_column(Id)
    chunk_id: Mapped[UUID] = mapped_column(Id)
    batch_id: Mapped[UUID | None] = mapped_column(Id)
    template_version_id: Mapped[UUID] = mapped_column(Id)
    template_key: Mapped[str] = mapped_column(String(100))
    category: Mapped[str] = mapped_column(String(60))
    person_id: Mapped[UUID | None] = mapped_column(Id)
    lane: Mapped[str] = mapped_column(String(6))
    mode: Mapped[str] = mapped_column(String(4), default="live")
    status: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(40))
    outcome: Mapped[str] = mapped_column(String(12), default="none")
    reference: Mapped[str | None] = mapped_column(exact(200))
    replay_of: Mapped[UUID | None] = mapped_column(Id)
    revision: Mapped[int] = mapped_column(Integer, default=1)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index("ix_notification_chunk_id", "chunk_id"),
        Index("ix_notification_live", "status", **_partial(_LIVE)),
        Index("ix_notification_application", "application_id", "id"),
        Index("ix_notification_template", "template_key", "id"),
        Index("ix_notification_person", "person_id", "id", **_partial(text("person_id IS NOT NULL"))),
        Index("ix_notification_reference", "reference", "id", **_partial(text("reference IS NOT NULL"))),
        Index("ix_notification_replay_of", "replay_of", **_partial(text("replay_of IS NOT NULL"))),
    )


class NotificationContent(Base):
    """Whom to and with which data: one row that erasure and retention can delete."""

    __tablename__ = "notification_content"

    notification_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    # {"to": {...}, "data": {...}, "channels", "locale", "reply_to", "attachments"}: see `packing.Content`.
    content: Mapped[bytes] = mapped_column(Blob)


class NotificationMetadata(Base):
    """A filterable pair that the calling system attached."""

    __tablename__ = "notification_metadata"

    notification_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(exact(40), primary_key=True)
    value: Mapped[str] = mapped_column(exact(200))

    __table_args__ = (Index("ix_notification_metadata_value", "name", "value", "notification_id"),)


class Idempotency(Base):
    """Which answer an application's key got; the primary key decides who was first."""

    __tablename__ = "idempotency"

    application_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    key: Mapped[str] = mapped_column(exact(255), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(Blob)
    notification_id: Mapped[UUID] = mapped_column(Id)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())

    __table_args__ = (Index("ix_idempotency_created_at", "created_at"),)


class Delivery(Base):
    """One notification to one address on one channel."""

    __tablename__ = "delivery"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    notification_id: Mapped[UUID] = mapped_column(Id)
    # The chunk that works on it next; NULL when nothing is left to do.
    chunk_id: Mapped[UUID | None] = mapped_column(Id)
    channel: Mapped[str] = mapped_column(String(40))
    address: Mapped[str] = mapped_column(String(500))
    account_id: Mapped[UUID | None] = mapped_column(Id)
    status: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(40))
    detail: Mapped[str | None] = mapped_column(String(500))
    vendor_id: Mapped[str | None] = mapped_column(String(200))
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    # Accounts that were given up, in order: a failover never returns to them.
    tried: Mapped[list[str] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index("ix_delivery_notification_id", "notification_id"),
        Index("ix_delivery_chunk_id", "chunk_id", **_partial(text("chunk_id IS NOT NULL"))),
        Index("ix_delivery_unknown", "updated_at", **_partial(text("status = 'unknown'"))),
    )


class Attempt(Base):
    """One try at one account: opened before the vendor call, closed once after it."""

    __tablename__ = "attempt"

    delivery_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    n: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    account_id: Mapped[UUID] = mapped_column(Id)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # sent, transient, throttled, permanent, ambiguous, expired; NULL while open.
    result: Mapped[str | None] = mapped_column(String(10))
    code: Mapped[str | None] = mapped_column(String(60))
    detail: Mapped[str | None] = mapped_column(String(500))
    milliseconds: Mapped[int | None] = mapped_column(Integer)


class LedgerCount(Base):
    """How many notifications met an event in a lane and minute; rows are appended and folded by the sweeper."""

    __tablename__ = "ledger_count"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    minute: Mapped[datetime] = mapped_column(UtcDateTime)
    lane: Mapped[str] = mapped_column(String(6))
    # `accepted` or a terminal status.
    event: Mapped[str] = mapped_column(String(10))
    n: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_ledger_count_minute", "minute", "lane", "event"),)


class SandboxMessage(Base):
    """What a sandbox account would have sent, rendered, for the portal to show."""

    __tablename__ = "sandbox_message"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    delivery_id: Mapped[UUID] = mapped_column(Id)
    notification_id: Mapped[UUID] = mapped_column(Id)
    application_id: Mapped[UUID] = mapped_column(Id)
    reference: Mapped[str | None] = mapped_column(exact(200))
    channel: Mapped[str] = mapped_column(String(40))
    address: Mapped[str] = mapped_column(String(500))
    message: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index("ix_sandbox_message_notification_id", "notification_id"),
        Index("ix_sandbox_message_reference", "reference", "id", **_partial(text("reference IS NOT NULL"))),
    )


class Batch(Base):
    """Many notifications that are approved together. Its gate is read at each claim of one of its chunks."""

    __tablename__ = "batch"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    application_id: Mapped[UUID] = mapped_column(Id)
    name: Mapped[str] = mapped_column(String(200))
    # running, paused, cancelled
    gate: Mapped[str] = mapped_column(String(10), default="paused")
    revision: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())


class BulkWindow(Base):
    """How many items of a template and category an application sent in an hour, through all doors."""

    __tablename__ = "bulk_window"

    application_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    template_key: Mapped[str] = mapped_column(exact(100), primary_key=True)
    category: Mapped[str] = mapped_column(exact(60), primary_key=True)
    hour: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)


class Stop(Base):
    """A stop button somebody pressed: work of this kind and key rests until it is released."""

    __tablename__ = "stop"

    # everything, lane, application, template, account
    kind: Mapped[str] = mapped_column(String(12), primary_key=True)
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    reason: Mapped[str] = mapped_column(String(500))
    stopped_by: Mapped[str] = mapped_column(String(200))
    stopped_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())


class Election(Base):
    """Who does the periodic work of a kind, until when; two at once do no harm."""

    __tablename__ = "election"

    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(80))
    until: Mapped[datetime] = mapped_column(UtcDateTime)
