"""The JSON shapes of notifications."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

Priority = Literal["high", "medium", "low"]
Key = Annotated[str, Meta(min_length=1, max_length=100)]
ShortText = Annotated[str, Meta(max_length=200)]


class ExternalId(Struct, forbid_unknown_fields=True):
    """A person as another system names them."""

    source: Annotated[str, Meta(min_length=1, max_length=100)]
    id: Annotated[str, Meta(min_length=1, max_length=200)]


class To(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one of: a person's id, an external id, or a channel with an address."""

    person_id: UUID | None = None
    external_id: ExternalId | None = None
    channel: Annotated[str, Meta(max_length=40)] | None = None
    address: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class NotificationIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a calling system asks for."""

    template: Key
    to: To
    data: dict[str, Any] = {}
    priority: Priority | None = None
    channels: Annotated[list[str], Meta(min_length=1, max_length=20)] | None = None
    category: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    ttl_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] | None = None
    locale: Annotated[str, Meta(min_length=2, max_length=35)] | None = None
    reference: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    reply_to: Annotated[str, Meta(min_length=3, max_length=254)] | None = None
    attachments: Annotated[list[UUID], Meta(max_length=20)] = []
    metadata: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=40)], ShortText], Meta(max_length=16)
    ] = {}


class BulkItem(NotificationIn, kw_only=True):
    """One item of a bulk request."""

    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class NotificationAccepted(Struct):
    """The answer to an accepted notification."""

    id: UUID
    status: str


class NotificationPatch(Struct, forbid_unknown_fields=True, kw_only=True):
    """What may change while no worker has the notification."""

    send_at: datetime | None = None
    priority: Priority | None = None
    data: dict[str, Any] | None = None
