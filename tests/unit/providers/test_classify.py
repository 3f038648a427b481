"""What an error that escaped a provider means."""

from __future__ import annotations

import socket
import ssl

import httpx2
import pytest

from portal.providers.classify import classify, tidy
from portal.providers.egress import ConnectFailed, EgressRefused
from portal.sdk import MAX_RETRY_AFTER, SendFailed


def certificate_error() -> Exception:
    """As httpx gives it: a connection error whose cause is the certificate."""
    error = httpx2.ConnectError("certificate verify failed")
    cause = ssl.SSLCertVerificationError("no")
    cause.verify_message = "self-signed certificate"
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "permanent", "ambiguous", "code"),
    [
        (httpx2.ConnectError("x"), False, False, "connect"),
        (httpx2.ConnectTimeout("x"), False, False, "connect"),
        (httpx2.PoolTimeout("x"), False, False, "connect"),
        (ConnectFailed("x"), False, False, "connect"),
        (ConnectionRefusedError(), False, False, "connect"),
        (socket.gaierror("x"), False, False, "connect"),
        (certificate_error(), False, False, "tls"),
        (httpx2.ReadTimeout("x"), False, True, "lost"),
        (httpx2.WriteTimeout("x"), False, True, "lost"),
        (httpx2.ReadError("x"), False, True, "lost"),
        (httpx2.RemoteProtocolError("x"), False, True, "lost"),
        (ConnectionResetError(), False, True, "lost"),
        (BrokenPipeError(), False, True, "lost"),
        (TimeoutError(), False, True, "lost"),
        (EgressRefused("not allowed"), True, False, "egress"),
        (httpx2.UnsupportedProtocol("x"), True, False, "request"),
        (httpx2.LocalProtocolError("x"), True, False, "request"),
        (httpx2.InvalidURL("x"), True, False, "request"),
        (KeyError("message_id"), False, True, "plugin"),
        (SystemExit(1), False, True, "plugin"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_doubt_is_on_the_safe_side(error: BaseException, permanent: bool, ambiguous: bool, code: str) -> None:
    failure = classify(error)
    assert (failure.permanent, failure.ambiguous, failure.code) == (permanent, ambiguous, code)
    assert not failure.suppress


def test_a_bug_of_a_plugin_does_not_tell_what_it_was_about() -> None:
    assert "content" not in classify(ValueError("content of the message")).reason


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (17, 17.0),
        (0, 0.0),
        (-3, 0.0),
        (10**9, MAX_RETRY_AFTER),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
    ],
)
def test_a_wait_is_a_sane_number_of_seconds_or_none(given: float, kept: float | None) -> None:
    assert tidy(SendFailed("x", retry_after=given)).retry_after == kept


def test_a_failure_keeps_its_marks() -> None:
    failure = classify(SendFailed("x", suppress=True, code="410"))
    assert (failure.permanent, failure.suppress, failure.code) == (True, True, "410")
