"""Later facts about a message, as a vendor reports them."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

EventKind = str
"""An open set; the portal knows accepted, delivered, opened, clicked, bounced, complained, unsubscribed."""


class TrackerEvent(Struct, frozen=True, kw_only=True):
    """One fact. Either `vendor_id` (of the receipt) or `message_id` (the id we gave) must find the delivery.

    `event_id` is the vendor's own id of the fact, by which it is stored once; without it, kind and message make it
    unique. `suppress` says that the address must not be used again. `detail` is a sentence without content.
    """

    kind: EventKind
    at: datetime
    vendor_id: str | None = None
    message_id: str | None = None
    event_id: str | None = None
    suppress: bool = False
    detail: str | None = None


class CallbackRequest(Struct, frozen=True, kw_only=True):
    """A vendor's call. Header names are lower case; `url` is the public one that the vendor signed."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


class CallbackRefused(Exception):
    """The callback is not from the vendor, or not for this account. Answered with 403; stored nowhere."""
