"""The log and the outbox of an account."""

from __future__ import annotations

import logging

import msgspec
import pytest

from portal.providers import context
from portal.providers.context import AccountContext, AccountLog
from portal.providers.egress import Guard
from portal.sdk.testing import sample_message

SECRET = "s3cr3t-canary"


def lines_of(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def test_secrets_do_not_reach_the_log_wherever_they_are_said(caplog: pytest.LogCaptureFixture) -> None:
    log = AccountLog("acme", "acme-1", [SECRET, "x"])
    with caplog.at_level(logging.DEBUG):
        event = f"signing in with {SECRET}"
        log.info(event, status=200)
        log.error("refused", answer=f"Bearer {SECRET}!", text="Hello Ann", address="ann@example.com", token="abc")
    assert SECRET not in lines_of(caplog)
    for hidden in ("Hello Ann", "ann@example.com", "token=abc"):
        assert hidden not in lines_of(caplog)
    assert "status=200" in lines_of(caplog)
    assert "account=acme-1" in lines_of(caplog)


def test_one_event_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        AccountLog("acme", "a", []).warning("odd", answer="a\r\nINFO forged line\x1b[31m\u2028x")
    assert len(lines_of(caplog).splitlines()) == 1
    assert "\x1b" not in lines_of(caplog)


def test_what_nobody_fetches_from_the_outbox_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "MOST_KEPT", 3)
    log = AccountLog("sandbox", "s", [])
    ctx = AccountContext(Guard(), None, log, connections=1, deadline=1)  # type: ignore[arg-type]
    message = sample_message(channel="sms", address="+442079460018", parts={"text": "Hi"})
    for n in range(5):
        ctx.keep(msgspec.structs.replace(message, id=str(n)), n=n)
    assert list(ctx.kept) == ["2", "3", "4"]
    assert ctx.kept["4"].facts == {"n": 4}
