"""Notifications as they may be shown: with sentences for reasons, and addresses masked for who may not see people. Pure."""

from __future__ import annotations

from typing import Any

from portal.access import Actor
from portal.ledger.packing import Content
from portal.ledger.statuses import REASONS
from portal.notifications.queries import Found
from portal.notifications.schemas import (
    AttachmentOut,
    AttemptOut,
    ContentOut,
    DeliveryOut,
    NotificationListed,
    NotificationOut,
    SandboxMessageOut,
)
from portal.plugin_loader import Registry
from portal.sdk import ChannelAdapter

HIDDEN = "•••"


def listed(row: Any) -> NotificationListed:
    """A row of the list."""
    return NotificationListed(**_facts(dict(row._mapping)))


def shown(found: Found, registry: Registry, actor: Actor) -> NotificationOut:
    """A notification in full."""
    clear = actor.may("people:read")
    return NotificationOut(
        **_facts(found.row),
        content=_content(found.content, registry, clear=clear) if found.content is not None else None,
        metadata=found.metadata,
        deliveries=[_delivery(row, found.attempts.get(row.id, []), registry, clear=clear) for row in found.deliveries],
        # Facts that become known after sending are not collected yet.
        events=[],
    )


def sandbox_message(row: Any) -> SandboxMessageOut:
    """What a sandbox account took."""
    return SandboxMessageOut(**dict(row._mapping))


def attachment(row: Any) -> AttachmentOut:
    """The facts of a file."""
    values = dict(row._mapping)
    values.pop("application_id")
    return AttachmentOut(**values)


def masked(registry: Registry, channel: str, address: str) -> str:
    """The address as its channel shows it to strangers."""
    if not address:
        return ""
    adapter = registry.channels.get(channel)
    return adapter.mask(address) if adapter is not None else ChannelAdapter().mask(address)


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    same = (
        "id", "application_id", "category", "mode", "status", "reason", "outcome", "person_id", "batch_id", "reference",
        "replay_of", "revision", "created_at", "expires_at", "settled_at",
    )  # fmt: skip
    return {name: row[name] for name in same} | {
        "template": row["template_key"],
        "priority": row["lane"],
        "send_at": row["due_at"],
        "reason_text": sentence(row["reason"]),
    }


def sentence(reason: str | None) -> str | None:
    """What a reason means, for people."""
    return REASONS.get(reason, reason) if reason is not None else None


def _content(content: Content, registry: Registry, *, clear: bool) -> ContentOut:
    to = dict(content.to)
    if "address" in to and not clear:
        to["address"] = masked(registry, to["channel"], to["address"])
    return ContentOut(
        to=to,
        data=content.data,
        channels=content.channels,
        locale=content.locale,
        reply_to=content.reply_to,
        attachments=content.attachments,
    )


def _delivery(row: Any, attempts: list[Any], registry: Registry, *, clear: bool) -> DeliveryOut:
    values = dict(row._mapping)
    same = (
        "id", "channel", "account_id", "status", "reason", "detail", "vendor_id", "created_at", "sent_at", "updated_at",
    )  # fmt: skip
    return DeliveryOut(
        **{name: values[name] for name in same},
        address=row.address if clear else masked(registry, row.channel, row.address),
        reason_text=sentence(row.reason),
        attempts=[_attempt(attempt) for attempt in attempts],
    )


def _attempt(row: Any) -> AttemptOut:
    values = dict(row._mapping)
    values.pop("delivery_id")
    return AttemptOut(**values)
