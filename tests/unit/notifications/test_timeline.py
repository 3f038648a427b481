"""What happened, in order and in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.notifications.schemas import AttemptOut, DeliveryOut, NotificationOut
from portal.notifications.timeline import RESULTS, timeline

START = datetime(2026, 1, 31, 9, tzinfo=UTC)
ACCOUNT = UUID(int=7)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def notification(**more: Any) -> NotificationOut:
    given: dict[str, Any] = {
        "id": UUID(int=1), "application_id": UUID(int=2), "template": "order", "category": "orders", "priority": "high",
        "mode": "live", "status": "accepted", "reason": None, "reason_text": None, "outcome": "none", "person_id": None,
        "batch_id": None, "reference": None, "replay_of": None, "revision": 1, "created_at": at(0), "send_at": at(0),
        "expires_at": None, "settled_at": None, "content": None, "metadata": {}, "deliveries": [], "events": [],
    }  # fmt: skip
    return NotificationOut(**given | more)


def delivery(status: str, *attempts: AttemptOut, **more: Any) -> DeliveryOut:
    given: dict[str, Any] = {
        "id": UUID(int=3), "channel": "sms", "address": "+1•••00", "account_id": ACCOUNT, "status": status, "reason": None,
        "reason_text": None, "detail": None, "vendor_id": None, "created_at": at(1), "sent_at": None, "updated_at": at(9),
    }  # fmt: skip
    return DeliveryOut(**given | more, attempts=list(attempts))


def attempt(n: int, result: str | None, **more: Any) -> AttemptOut:
    given: dict[str, Any] = {"code": None, "detail": None, "milliseconds": 12}
    closed = at(n + 1.5) if result else None
    return AttemptOut(n=n, account_id=ACCOUNT, opened_at=at(n + 1), closed_at=closed, result=result, **given | more)


def titles(shown: NotificationOut) -> list[str]:
    return [step.title for step in timeline(shown, {ACCOUNT: "Acme"}, {"sms": "SMS"})]


def test_one_that_just_came_is_only_accepted() -> None:
    assert titles(notification()) == ["Accepted"]


def test_one_for_later_says_when_it_is_due() -> None:
    assert titles(notification(send_at=at(60))) == ["Accepted", "Due"]


def test_attempts_stand_between_the_plan_and_the_end() -> None:
    told = delivery("sent", attempt(1, "transient", code="503"), attempt(2, "sent"))
    shown = notification(status="sent", settled_at=at(10), deliveries=[told])
    assert titles(shown) == ["Accepted", "Planned", "SMS: attempt 1 at Acme", "SMS: attempt 2 at Acme", "Sent"]
    first = timeline(shown, {ACCOUNT: "Acme"}, {"sms": "SMS"})[2]
    assert first.details == ["Failed, may be tried again (503, 12 ms)."]


def test_an_open_attempt_is_under_way() -> None:
    shown = notification(status="planned", deliveries=[delivery("sending", attempt(1, None, milliseconds=None))])
    assert timeline(shown, {}, {})[-1].details == ["under way."]


def test_an_account_that_is_gone_does_no_harm() -> None:
    shown = notification(deliveries=[delivery("sent", attempt(1, "sent"))])
    assert timeline(shown, {}, {})[-1].title == "sms: attempt 1 at an account that was removed"


def test_a_skip_tells_its_reason_once_per_delivery_and_at_the_end() -> None:
    why = "The person has no usable address on any of the template's channels."
    shown = notification(
        status="skipped",
        settled_at=at(9),
        reason_text=why,
        deliveries=[delivery("skipped", address="", reason_text=why)],
    )
    steps = timeline(shown, {}, {"sms": "SMS"})
    assert [step.title for step in steps] == ["Accepted", "Planned", "SMS: skipped", "Skipped"]
    assert steps[-1].details == [why]


def test_what_an_attempt_said_is_not_said_again() -> None:
    told = delivery(
        "dead", attempt(1, "permanent", detail="No such number."), detail="No such number.", reason_text="Why."
    )
    other = delivery("sent", attempt(1, "sent"))
    steps = timeline(notification(status="sent", settled_at=at(9), deliveries=[told, other]), {}, {"sms": "SMS"})
    assert [step.details for step in steps if step.title == "SMS: given up"] == [["Why."]]


@pytest.mark.parametrize("result", ["sent", "transient", "throttled", "permanent", "ambiguous", "expired"])
def test_every_result_of_an_attempt_has_words(result: str) -> None:
    assert result in RESULTS
