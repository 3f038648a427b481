"""What happened to a notification, in order, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from portal.notifications.schemas import AttemptOut, DeliveryOut, NotificationOut

TONES = {"sent": "success", "failed": "danger", "dead": "danger", "skipped": "neutral", "expired": "warning", "cancelled": "neutral"}  # fmt: skip
MARKS = {"sent": "check", "failed": "x", "dead": "x", "skipped": "ban", "expired": "hourglass", "cancelled": "ban"}
RESULTS = {
    "sent": ("The provider accepted it", "success", "check"),
    "transient": ("Failed, may be tried again", "warning", "refresh"),
    "throttled": ("The provider asked to wait", "warning", "clock-pause"),
    "permanent": ("Refused for good", "danger", "x"),
    "ambiguous": ("No answer: it may have been accepted", "warning", "help"),
    "expired": ("Out of date before it was tried", "warning", "hourglass"),
}


class Step(Struct, frozen=True, kw_only=True):
    """One event. `details` are sentences below its title."""

    at: datetime
    title: str
    tone: str = "neutral"
    mark: str = "circle-dashed"
    details: list[str] = []


def timeline(shown: NotificationOut, accounts: Mapping[UUID, str], channels: Mapping[str, str]) -> list[Step]:
    """Accepted, planned, every attempt, every delivery's end, later facts and the end, the oldest first.

    `accounts` and `channels` are titles.
    """
    steps = [_accepted(shown)]
    if shown.send_at > shown.created_at:
        steps.append(Step(at=shown.send_at, title="Due", mark="clock"))
    if shown.deliveries:
        steps.append(_planned(shown, channels))
    for delivery in shown.deliveries:
        title = channels.get(delivery.channel, delivery.channel)
        steps += [_attempt(each, title, accounts) for each in delivery.attempts]
        if shown.settled_at is None or len(shown.deliveries) > 1 or not delivery.attempts:
            steps += _end(delivery, title)
    steps += [
        Step(at=e.at, title=e.event.capitalize(), mark="flag", details=[e.detail] if e.detail else [])
        for e in shown.events
    ]
    if shown.settled_at is not None:
        steps.append(_settled(shown))
    return sorted(steps, key=lambda step: step.at)


def _accepted(shown: NotificationOut) -> Step:
    details = []
    if shown.mode == "test":
        details.append("By a test key or as a trial: it goes to the sandbox only.")
    if shown.replay_of is not None:
        details.append("A replay of an earlier notification.")
    return Step(at=shown.created_at, title="Accepted", tone="info", mark="inbox", details=details)


def _planned(shown: NotificationOut, channels: Mapping[str, str]) -> Step:
    to = [f"{channels.get(each.channel, each.channel)}: {each.address}" if each.address else channels.get(each.channel, each.channel) for each in shown.deliveries]  # fmt: skip
    return Step(
        at=min(each.created_at for each in shown.deliveries), title="Planned", tone="info", mark="route", details=to
    )


def _attempt(attempt: AttemptOut, channel: str, accounts: Mapping[UUID, str]) -> Step:
    account = accounts.get(attempt.account_id, "an account that was removed")
    if attempt.result is None:
        said, tone, mark = "under way", "info", "send"
    else:
        said, tone, mark = RESULTS.get(attempt.result, (attempt.result, "neutral", "circle-dashed"))
    facts = [
        str(attempt.code) if attempt.code else "",
        f"{attempt.milliseconds:,} ms" if attempt.milliseconds is not None else "",
    ]
    told = ", ".join(fact for fact in facts if fact)
    details = [f"{said}{f' ({told})' if told else ''}.", *([attempt.detail] if attempt.detail else [])]
    at = attempt.closed_at or attempt.opened_at
    return Step(at=at, title=f"{channel}: attempt {attempt.n} at {account}", tone=tone, mark=mark, details=details)


def _end(delivery: DeliveryOut, channel: str) -> list[Step]:
    """The end of a delivery that did not go out, without repeating what its attempts said."""
    if delivery.status in ("queued", "sending", "sent"):
        return []
    words = {"deferred": "waits for a free place at the account", "unknown": "in doubt", "dead": "given up"}
    told = {attempt.detail for attempt in delivery.attempts}
    details = [text for text in (delivery.reason_text, delivery.detail) if text and text not in told]
    tone, mark = TONES.get(delivery.status, "warning"), MARKS.get(delivery.status, "clock-pause")
    title = f"{channel}: {words.get(delivery.status, delivery.status)}"
    return [Step(at=delivery.updated_at, title=title, tone=tone, mark=mark, details=details)]


def _settled(shown: NotificationOut) -> Step:
    assert shown.settled_at is not None
    details = [shown.reason_text] if shown.reason_text else []
    tone, mark = TONES.get(shown.status, "neutral"), MARKS.get(shown.status, "flag")
    return Step(at=shown.settled_at, title=shown.status.capitalize(), tone=tone, mark=mark, details=details)
