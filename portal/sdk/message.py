"""What a provider is given and what it gives back."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Lane = Literal["high", "medium", "low"]


class Attachment(Struct, frozen=True, kw_only=True):
    """One file that goes with a message. `content_id`, when set, makes it an inline part (`cid:` in HTML)."""

    name: str
    content_type: str
    content: bytes
    content_id: str | None = None


class Message(Struct, frozen=True, kw_only=True):
    """One rendered message for one address; a value, not a row.

    `id` is stable over every try of this delivery: give it to the vendor as its idempotency key. It is ASCII, at most
    64 characters. `parts` has the parts that the channel adapter declares, rendered; a part of kind `json` is JSON
    text. `expires_at` is aware UTC: a vendor that takes a lifetime gets it from here. `unsubscribe_url`, when set, is
    an absolute https link that unsubscribes by a POST without further questions (RFC 8058). `template_binding` is
    what the template says about this provider's own templates (vendor template id, sign name …) for vendors that
    hold the text themselves, with the variables' values under `"variables"`.
    """

    id: str
    channel: str
    address: str
    parts: dict[str, str]
    priority: Lane = "medium"
    locale: str | None = None
    category: str | None = None
    expires_at: datetime | None = None
    reply_to: str | None = None
    unsubscribe_url: str | None = None
    headers: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()
    metadata: dict[str, str] = {}
    template_binding: dict[str, object] | None = None


class Receipt(Struct, frozen=True):
    """The vendor accepted the message. Says nothing about arrival; that is a tracker event.

    `vendor_id` is the vendor's own id, by which later events and look-ups find the delivery (at most 200 characters are
    kept). `detail` is one sentence for the person who reads the attempt, without content or secrets.
    """

    vendor_id: str | None = None
    detail: str | None = None
