"""The JSON shapes of notifications."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

Priority = Literal["high", "medium", "low"]
Key = Annotated[str, Meta(min_length=1, max_length=100)]
ShortText = Annotated[str, Meta(max_length=200)]


class ExternalId(Struct, forbid_unknown_fields=True, gc=False):
    """A person as another system names them."""

    source: Annotated[str, Meta(min_length=1, max_length=100)]
    id: Annotated[str, Meta(min_length=1, max_length=200)]


class To(Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Exactly one of: a person's id, an external id, or a channel with an address."""

    person_id: UUID | None = None
    external_id: ExternalId | None = None
    channel: Annotated[str, Meta(max_length=40)] | None = None
    address: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class NotificationIn(Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
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
    metadata: Annotated[dict[Annotated[str, Meta(min_length=1, max_length=40)], ShortText], Meta(max_length=16)] = {}


class BulkItem(NotificationIn, kw_only=True, gc=False):
    """One item of a bulk request."""

    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class NotificationAccepted(Struct):
    """The answer to an accepted notification."""

    id: UUID
    status: str


class NotificationPatch(Struct, forbid_unknown_fields=True, kw_only=True):
    """What may change while no worker has the notification; everything left out stays. `send_at` null is now."""

    send_at: datetime | UnsetType | None = UNSET
    priority: Priority | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET


class NotificationListed(Struct, kw_only=True):
    """A notification in a list. `reason_text` is the sentence of `reason`; `send_at` is when it is due."""

    id: UUID
    application_id: UUID
    template: str
    category: str
    priority: str
    mode: str
    status: str
    reason: str | None
    reason_text: str | None
    outcome: str
    person_id: UUID | None
    batch_id: UUID | None
    reference: str | None
    replay_of: UUID | None
    revision: int
    created_at: datetime
    send_at: datetime
    expires_at: datetime | None
    settled_at: datetime | None


class NotificationList(Struct):
    """One page, newest first. `next` is the cursor of the next page, empty on the last."""

    items: list[NotificationListed]
    next: str


class AttemptOut(Struct, kw_only=True):
    """One try at one provider account; without `closed_at` it is under way or in doubt."""

    n: int
    account_id: UUID
    opened_at: datetime
    closed_at: datetime | None
    result: str | None
    code: str | None
    detail: str | None
    milliseconds: int | None


class DeliveryOut(Struct, kw_only=True):
    """One address of the notification. The address is masked for who may not see people."""

    id: UUID
    channel: str
    address: str
    account_id: UUID | None
    status: str
    reason: str | None
    reason_text: str | None
    detail: str | None
    vendor_id: str | None
    created_at: datetime
    sent_at: datetime | None
    updated_at: datetime
    attempts: list[AttemptOut]


class EventOut(Struct, kw_only=True):
    """A fact that became known after sending."""

    event: str
    at: datetime
    detail: str | None = None


class ContentOut(Struct, kw_only=True):
    """Whom to and with which data, as it was asked."""

    to: dict[str, Any]
    data: dict[str, Any]
    channels: list[str] | None
    locale: str | None
    reply_to: str | None
    attachments: list[str]


class NotificationOut(NotificationListed, kw_only=True):
    """A notification in full. `content` is null once it was erased."""

    content: ContentOut | None
    metadata: dict[str, str]
    deliveries: list[DeliveryOut]
    events: list[EventOut]


class ReplayIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """`again` allows a second replay of the same notification."""

    again: bool = False


class AttachmentOut(Struct, kw_only=True):
    """An uploaded file; its id goes into `attachments` of a notification that is due before `expires_at`."""

    id: UUID
    name: str
    content_type: str
    size: int
    sha256: str
    created_at: datetime
    expires_at: datetime


class BulkError(Struct, kw_only=True):
    """What is wrong with an item; `errors` names the fields."""

    code: str
    detail: str
    errors: list[dict[str, str]] = []


class BulkResult(Struct, kw_only=True, omit_defaults=True):
    """The answer to one item, in the order of the items. `line` counts from 1, in the body as it was sent."""

    index: int
    line: int
    id: UUID | None = None
    status: str | None = None
    replayed: bool = False
    error: BulkError | None = None


class BulkOut(Struct, kw_only=True):
    """The answer to a bulk request. `accepted` counts replayed items as well."""

    accepted: int
    rejected: int
    results: list[BulkResult]


class SandboxMessageOut(Struct, kw_only=True):
    """What a sandbox account would have sent. `message` holds the rendered `parts`, `headers` and `locale`."""

    id: UUID
    notification_id: UUID
    delivery_id: UUID
    application_id: UUID
    reference: str | None
    channel: str
    address: str
    message: dict[str, Any]
    created_at: datetime


class SandboxMessageList(Struct):
    """One page, newest first. `next` is the cursor of the next page, empty on the last."""

    items: list[SandboxMessageOut]
    next: str
