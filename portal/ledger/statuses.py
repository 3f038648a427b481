"""The statuses of each noun and the allowed moves: one dict per noun, drawn in docs/states.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LANES: Final = ("high", "medium", "low")

NOTIFICATION_MOVES: Final[dict[str, tuple[str, ...]]] = {
    "held": ("scheduled", "accepted", "expired", "cancelled"),
    "scheduled": ("accepted", "planned", "skipped", "expired", "cancelled", "failed"),
    "accepted": ("scheduled", "planned", "sent", "failed", "skipped", "expired", "cancelled"),
    "planned": ("sent", "failed", "skipped", "expired", "cancelled"),
    "sent": (),
    "failed": (),
    "skipped": (),
    "expired": (),
    "cancelled": (),
}
DELIVERY_MOVES: Final[dict[str, tuple[str, ...]]] = {
    "queued": ("sending", "deferred", "skipped", "expired", "cancelled", "dead"),
    "sending": ("sent", "queued", "deferred", "unknown", "dead", "expired"),
    "deferred": ("sending", "queued", "skipped", "expired", "cancelled", "dead"),
    "unknown": ("sent", "dead", "queued"),
    "sent": (),
    "dead": (),
    "skipped": (),
    "expired": (),
    "cancelled": (),
}
CHUNK_MOVES: Final[dict[str, tuple[str, ...]]] = {
    "ready": ("leased", "done"),
    "leased": ("ready", "done"),
    "done": (),
}
MOVES: Final = {"notification": NOTIFICATION_MOVES, "delivery": DELIVERY_MOVES, "chunk": CHUNK_MOVES}

TERMINAL: Final = tuple(status for status, after in NOTIFICATION_MOVES.items() if not after)
LIVE: Final = tuple(status for status, after in NOTIFICATION_MOVES.items() if after)
DELIVERY_TERMINAL: Final = tuple(status for status, after in DELIVERY_MOVES.items() if not after)
DELIVERY_LIVE: Final = tuple(status for status, after in DELIVERY_MOVES.items() if after)

# What became known later; a higher rank wins, `bounced` and `complained` stand apart.
OUTCOME_RANK: Final = {"none": 0, "accepted": 1, "delivered": 2, "seen": 3, "bounced": 4, "complained": 5}

# Every reason a delivery or a notification can be skipped for or died of, each with the sentence the portal shows.
REASONS: Final = {
    "preference": "The person does not want this category on this channel.",
    "quiet_hours": "Waiting for the end of quiet hours would have outlived the notification.",
    "frequency_cap": "The person has had as many of these as the cap allows.",
    "suppressed": "The address must not be used: it bounced, complained or was blocked.",
    "no_address": "The person has no usable address on any of the template's channels.",
    "unknown_person": "Nobody is known under this id.",
    "digested": "It was merged into a digest.",
    "duplicate": "The same message had just been sent to the same address.",
    "rule": "A business rule forbids it.",
    "no_route": "No enabled provider account serves this channel.",
    "trial": "The application is in trial mode and the address is not on its guest list.",
    "render": "The template could not be rendered with this data.",
    "permanent": "The provider refused it for good.",
    "exhausted": "Every attempt that policy allows failed.",
    "unknown": "Nobody could tell in time whether the provider had accepted it.",
    "crashed": "Working on it ended the process again and again; it was set aside.",
    "expired": "It was no longer of use when its turn came.",
    "cancelled": "Somebody cancelled it.",
}


def end_of(deliveries: Sequence[tuple[str, str | None]]) -> tuple[str, str | None] | None:
    """The end (status, reason) that a notification's deliveries, given likewise, add up to; None while one lives."""
    statuses = {status for status, _ in deliveries}
    if not statuses or not statuses <= set(DELIVERY_TERMINAL):
        return None
    if "sent" in statuses:
        return "sent", None
    for status, final in (
        ("dead", "failed"),
        ("expired", "expired"),
        ("cancelled", "cancelled"),
        ("skipped", "skipped"),
    ):
        if status in statuses:
            return final, next(reason for ended, reason in deliveries if ended == status)
    return None


def may_move(noun: str, before: str, after: str) -> bool:
    """Whether the noun may go from one status to another."""
    return after in MOVES[noun][before]
