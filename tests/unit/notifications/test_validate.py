"""The checks between a decoded request and the acceptor: recipient, times, texts, trial."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from portal.access import Actor, ApiKeyEntry
from portal.db import new_id
from portal.errors import InvalidInput, NotAllowed
from portal.message_templates import TemplateEntry
from portal.message_templates.contract import Checker, Contract, Variable
from portal.notifications.schemas import NotificationIn
from portal.notifications.validate import Validated, Validator
from portal.plugin_loader import load
from portal.preferences.categories import CategoryEntry
from portal.settings import Settings

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
TEMPLATE = TemplateEntry(
    id=new_id(), key="code", name="Code", category="orders", priority="high", version_id=new_id(), n=1,
    contract=Checker(Contract(variables=[Variable(name="code")])), channels=frozenset({"sms", "email"}), default_locale="en",
)  # fmt: skip
KEY = ApiKeyEntry(
    id=new_id(), name="key", mode="live", scopes=frozenset(), rate_per_second=None, expires_at=float("inf"),
    application_id=new_id(), application_key="shop", application_rate=None, trial=False, guest_list=frozenset(),
    actor=Actor(kind="key", id=new_id(), name="key", permissions=frozenset()),
)  # fmt: skip


class Known:
    """Categories of this test."""

    def find(self, key: str) -> CategoryEntry | None:
        return CategoryEntry(key, key) if key in ("orders", "offers") else None


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Validator:
    folder: Path = tmp_path_factory.mktemp("data")
    return Validator(load(Settings(data_dir=str(folder))), Known())  # type: ignore[arg-type]


def check(validator: Validator, key: ApiKeyEntry = KEY, **fields: Any) -> Validated:
    given = {"template": "code", "to": {"channel": "sms", "address": "+1 415 555 0100"}, "data": {"code": "1"}} | fields
    return validator.check(msgspec.convert(given, NotificationIn, strict=False), TEMPLATE, key, NOW)


def refused(validator: Validator, **fields: Any) -> set[str]:
    with pytest.raises(InvalidInput) as caught:
        check(validator, **fields)
    return set(caught.value.fields)


def test_what_is_left_out_comes_from_the_template(validator: Validator) -> None:
    checked = check(validator)
    assert (checked.lane, checked.category, checked.due, checked.expires_at) == ("high", "orders", None, None)
    assert checked.content.to == {"channel": "sms", "address": "+14155550100"}
    other = check(validator, priority="low", category="offers")
    assert (other.lane, other.category) == ("low", "offers")


@pytest.mark.parametrize(
    ("to", "fields"),
    [
        ({}, {"to"}),
        ({"person_id": str(uuid4()), "channel": "sms", "address": "+14155550100"}, {"to"}),
        ({"channel": "sms"}, {"to.address"}),
        ({"address": "+14155550100"}, {"to.channel"}),
        ({"channel": "webhook", "address": "https://example.com"}, {"to.channel"}),
        ({"channel": "sms", "address": "a@example.com"}, {"to.address"}),
        ({"channel": "email", "address": "nobody"}, {"to.address"}),
    ],
)
def test_a_recipient_has_exactly_one_form(validator: Validator, to: dict[str, str], fields: set[str]) -> None:
    assert refused(validator, to=to) == fields


def test_every_wrong_field_is_named_at_once(validator: Validator) -> None:
    found = refused(
        validator, to={"channel": "sms", "address": "x"}, data={"cod": 1}, channels=["fax"], category="none", reference="a\nb",
        reply_to="nobody", metadata={"a": "b\x07"}, expires_at=NOW.isoformat(),
    )  # fmt: skip
    assert found == {
        "to.address", "data.code", "data.cod", "channels[0]", "category", "reference", "reply_to", "metadata.a", "expires_at",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "due", "life"),
    [
        ({"send_at": (NOW - timedelta(days=1)).isoformat()}, None, None),
        ({"send_at": "2026-06-01T15:00:00+02:00"}, timedelta(hours=1), None),
        ({"ttl_seconds": 60}, None, timedelta(seconds=60)),
        ({"send_at": (NOW + timedelta(hours=1)).isoformat(), "ttl_seconds": 60}, timedelta(hours=1), timedelta(seconds=3660)),
        ({"expires_at": (NOW + timedelta(hours=2)).isoformat()}, None, timedelta(hours=2)),
    ],
)  # fmt: skip
def test_times_come_down_to_instants(
    validator: Validator, fields: dict[str, Any], due: timedelta | None, life: timedelta | None
) -> None:
    checked = check(validator, **fields)
    assert checked.due == (NOW + due if due else None)
    assert checked.expires_at == (NOW + life if life else None)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"send_at": "2026-06-01T15:00:00"}, "send_at"),
        ({"expires_at": "2026-06-01T15:00:00"}, "expires_at"),
        ({"send_at": (NOW + timedelta(days=367)).isoformat()}, "send_at"),
        ({"expires_at": (NOW + timedelta(hours=1)).isoformat(), "ttl_seconds": 5}, "ttl_seconds"),
        ({"expires_at": (NOW - timedelta(hours=1)).isoformat()}, "expires_at"),
        (
            {"send_at": (NOW + timedelta(hours=2)).isoformat(), "expires_at": (NOW + timedelta(hours=1)).isoformat()},
            "expires_at",
        ),
    ],
)
def test_times_that_make_no_sense_are_refused(validator: Validator, fields: dict[str, Any], wrong: str) -> None:
    assert refused(validator, **fields) == {wrong}


def test_an_application_in_trial_reaches_only_its_guests(validator: Validator) -> None:
    trial = msgspec.structs.replace(KEY, trial=True, guest_list=frozenset({"+14155550100"}))
    assert check(validator, trial).content.to["address"] == "+14155550100"
    with pytest.raises(NotAllowed):
        check(validator, trial, to={"channel": "sms", "address": "+14155550199"})
    tester = msgspec.structs.replace(trial, mode="test")
    assert check(validator, tester, to={"channel": "sms", "address": "+14155550199"})
