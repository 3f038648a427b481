"""The reading of an HTTP answer."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.sdk import MAX_RETRY_AFTER, Receipt, SendFailed, parse_retry_after, receipt_or_failure

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17),
        (" 17 ", 17),
        ("0", 0),
        ("1.5", 1.5),
        ("-5", 0),
        ("+5", 5),
        ("3600", 3600),
        ("3601", MAX_RETRY_AFTER),
        ("99999999999999999999", MAX_RETRY_AFTER),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30),
        ("Sun Mar  1 12:00:30 2026", 30),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sun, 01 Mar 2099 12:00:00 GMT", MAX_RETRY_AFTER),
        ("", None),
        ("  ", None),
        (None, None),
        ("soon", None),
        ("NaN", None),
        ("inf", None),
        ("1e3", None),
        ("1_000", None),
        ("٣٤", None),
        ("1.2.3", None),
        ("-", None),
        (".", None),
        ("9" * 400, None),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after_in_every_form(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


@given(st.text(max_size=100))
def test_no_value_of_retry_after_does_harm(value: str) -> None:
    seconds = parse_retry_after(value)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@pytest.mark.parametrize(
    ("body", "path", "vendor_id"),
    [
        (b'{"id": "abc"}', "id", "abc"),
        (b'{"id": 17}', "id", "17"),
        (b'{"a": {"b": [{"id": "x"}]}}', "a.b.0.id", "x"),
        (b'{"a": []}', "a.0", None),
        (b'{"id": true}', "id", None),
        (b'{"id": ""}', "id", None),
        (b'{"id": {"x": 1}}', "id", None),
        (b"not json", "id", None),
        (b"\xff\xfe", "id", None),
        (b"[]", "id", None),
        (b"", "id", None),
        (b"anything", None, None),
    ],
)
def test_a_2xx_answer_is_a_receipt_whatever_it_says(body: bytes, path: str | None, vendor_id: str | None) -> None:
    receipt = receipt_or_failure(httpx2.Response(200, content=body), id=path)
    assert type(receipt) is Receipt
    assert receipt.vendor_id == vendor_id
    assert (receipt.detail is not None) == (path is not None and vendor_id is None)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 400, 401, 402, 403, 404, 409, 413, 422, 451])
def test_refusals_are_permanent(status: int) -> None:
    with pytest.raises(SendFailed) as failed:
        receipt_or_failure(httpx2.Response(status))
    assert (failed.value.permanent, failed.value.suppress, failed.value.code) == (True, False, str(status))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 599])
def test_troubles_are_transient(status: int) -> None:
    with pytest.raises(SendFailed) as failed:
        receipt_or_failure(httpx2.Response(status, headers={"Retry-After": "9"}))
    assert (failed.value.permanent, failed.value.retry_after) == (False, 9)


def test_gone_means_never_again() -> None:
    with pytest.raises(SendFailed) as failed:
        receipt_or_failure(httpx2.Response(410))
    assert failed.value.suppress
    assert failed.value.permanent
    assert "suppress" in repr(failed.value)
