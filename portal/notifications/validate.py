"""Whether a request can be accepted: against the template's contract, the channels and the clock; all from memory."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from portal.access import ApiKeyEntry
from portal.errors import InvalidInput, NotAllowed
from portal.ledger.packing import Content
from portal.message_templates import TemplateEntry
from portal.notifications.schemas import NotificationIn, To
from portal.plugin_loader import Registry
from portal.preferences.categories import Categories

FARTHEST = timedelta(days=366)
DEFAULT_CATEGORY = "general"


class Validated(NamedTuple):
    """What a request comes down to. `due` is None for now."""

    content: Content
    lane: str
    category: str
    due: datetime | None
    expires_at: datetime | None


class Validator:
    """Checks requests of one process."""

    def __init__(self, registry: Registry, categories: Categories) -> None:
        self._registry = registry
        self._categories = categories
        # People are written to again and again; parsing a phone number costs more than everything else here.
        self._normalise = lru_cache(maxsize=65_536)(self._normalised)

    def check(self, ask: NotificationIn, template: TemplateEntry, key: ApiKeyEntry, now: datetime) -> Validated:
        """The request in the form in which it is stored; raises `InvalidInput` naming every wrong field it can."""
        problems = template.contract.check(ask.data)
        to = self._recipient(ask.to, template, problems)
        self._channels(ask.channels, template, problems)
        category = ask.category or template.category or DEFAULT_CATEGORY
        if ask.category is not None and self._categories.find(ask.category) is None:
            problems["category"] = "no such category"
        due, expires_at = _times(ask, now, problems)
        _texts(ask, problems)
        if problems:
            raise InvalidInput(problems)
        _trial(key, ask.to, to)
        content = Content(
            to=to,
            data=ask.data,
            channels=ask.channels,
            locale=ask.locale,
            reply_to=ask.reply_to,
            attachments=[str(file) for file in ask.attachments],
        )
        return Validated(content, ask.priority or template.priority or "medium", category, due, expires_at)

    def _recipient(self, to: To, template: TemplateEntry, problems: dict[str, str]) -> dict[str, object]:
        """The recipient as it is stored: exactly one form, the address normalised by its channel."""
        by_address = to.channel is not None or to.address is not None
        if (to.person_id is not None) + (to.external_id is not None) + by_address != 1:
            problems["to"] = "expected exactly one of person_id, external_id, or channel with address"
            return {}
        if to.person_id is not None:
            return {"person_id": str(to.person_id)}
        if to.external_id is not None:
            return {"external_id": {"source": to.external_id.source, "id": to.external_id.id}}
        if to.channel is None or to.address is None:
            problems["to.channel" if to.channel is None else "to.address"] = "channel and address go together"
            return {}
        if to.channel not in template.channels:
            problems["to.channel"] = f"the template has content for {_listed(template.channels)}"
            return {}
        try:
            return {"channel": to.channel, "address": self._normalise(to.channel, to.address)}
        except ValueError as error:
            problems["to.address"] = str(error)
            return {}

    def _normalised(self, channel: str, address: str) -> str:
        adapter = self._registry.channels.get(channel)
        if adapter is None:
            raise ValueError(f"the channel {channel} is not enabled here")
        return adapter.normalise(address)

    def _channels(self, channels: list[str] | None, template: TemplateEntry, problems: dict[str, str]) -> None:
        for index, channel in enumerate(channels or ()):
            if channel not in template.channels:
                problems[f"channels[{index}]"] = f"the template has content for {_listed(template.channels)}"


def _times(ask: NotificationIn, now: datetime, problems: dict[str, str]) -> tuple[datetime | None, datetime | None]:
    if ask.send_at is None and ask.expires_at is None and ask.ttl_seconds is None:
        return None, None
    for field, moment in (("send_at", ask.send_at), ("expires_at", ask.expires_at)):
        if moment is not None and moment.tzinfo is None:
            problems[field] = "expected an instant with its zone, such as 2026-01-31T09:00:00Z"
            return None, None
        if moment is not None and moment > now + FARTHEST:
            problems[field] = "expected at most 366 days ahead"
            return None, None
    due = ask.send_at if ask.send_at is not None and ask.send_at > now else None
    if ask.expires_at is not None and ask.ttl_seconds is not None:
        problems["ttl_seconds"] = "expected either expires_at or ttl_seconds"
        return None, None
    expires_at = ask.expires_at
    if ask.ttl_seconds is not None:
        expires_at = (due or now) + timedelta(seconds=ask.ttl_seconds)
    if expires_at is not None and expires_at <= (due or now):
        problems["expires_at"] = "expected an instant after the time of sending"
    return due, expires_at


def _texts(ask: NotificationIn, problems: dict[str, str]) -> None:
    """What ends up in headers and filters is one line without control characters."""
    if not (ask.reference or ask.reply_to or ask.locale or ask.metadata):
        return
    fields = {"reference": ask.reference, "reply_to": ask.reply_to, "locale": ask.locale}
    for name, value in ask.metadata.items():
        fields[f"metadata.{name}"] = value
        if _has_control(name):
            problems["metadata"] = "expected names without control characters"
    for field, text in fields.items():
        if text is not None and _has_control(text):
            problems[field] = "expected one line without control characters"
    if ask.reply_to is not None and ("@" not in ask.reply_to or " " in ask.reply_to):
        problems["reply_to"] = "expected an e-mail address"


def _has_control(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text)


def _trial(key: ApiKeyEntry, asked: To, to: dict[str, object]) -> None:
    """An application in trial mode reaches only its guest list; people are checked when they are resolved."""
    if key.trial and key.mode == "live" and "address" in to:
        if to["address"] not in key.guest_list and asked.address not in key.guest_list:
            raise NotAllowed(
                f"The application {key.application_key} is in trial mode: it reaches only its guest list. Use a test key, "
                "or ask an administrator to add the address or to end the trial."
            )


def _listed(channels: frozenset[str] | tuple[str, ...]) -> str:
    return ", ".join(sorted(channels)) or "no channel"
