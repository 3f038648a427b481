"""What a log line looks like, and what never gets into one."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from portal.runtime import logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """A logger `test` whose lines are written here."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.LineFormatter())
    logger = logging.getLogger("test")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.propagate = True


@pytest.mark.parametrize(
    "text",
    [
        "key pp_live_{}",
        "key pp_test_{} used",
        "Authorization: Bearer {}",
        "headers {{'authorization': 'Bearer {}', 'accept': '*/*'}}",
        "headers [(b'authorization', b'Bearer {}')]",
        "authorization=Basic {}",
        "Cookie: __Host-session={}; other=1",
        "postgresql://portal:{}@db.example/portal",
        "redis://:{}@127.0.0.1:6379/0",
        "GET https://portal.example/x?token={}&next=/",
        "GET /preferences/{}?lang=en",
        'json {{"password": "{}", "user": "ann"}}',
        "client_secret={} scope=all",
        "X-API-Key: {}",
        "https://vendor.example/send?sig={}",
    ],
)
@pytest.mark.parametrize(
    "canary", ["CANARYc2VjcmV0LXZhbHVlLXdpdGgtbWFueS1jaGFycw", "CANARY.s3cr3t-Value_0123456789abcdefghij"]
)
def test_secrets_do_not_get_through(lines: io.StringIO, text: str, canary: str) -> None:
    logging.getLogger("test").info("%s", text.format(canary))
    assert "CANARY" not in lines.getvalue()
    assert "[hidden]" in lines.getvalue()


def test_addresses_are_masked_and_hosts_stay(lines: io.StringIO) -> None:
    logging.getLogger("test").info("sent to %s and %s by mx.example.org", "ann.miller@example.org", "+4915112345678")
    assert "ann.miller" not in lines.getvalue()
    assert "15112345" not in lines.getvalue()
    assert "…@example.org" in lines.getvalue()
    assert "mx.example.org" in lines.getvalue()


def test_what_an_operator_needs_stays(lines: io.StringIO) -> None:
    chunk_id = uuid4()
    text = f"chunk {chunk_id} of lane high took 12.5 ms, 2026-11-22T10:00:00Z, GET /api/v1/notifications/{chunk_id} 202"
    logging.getLogger("test").info(text)
    assert text in lines.getvalue()


def test_a_record_is_one_line_whatever_is_in_it(lines: io.StringIO) -> None:
    logging.getLogger("test").info("user said %s", "x\r\n2026-01-01T00:00:00Z critical forged\x1b[2J\u2028end")
    assert lines.getvalue().count("\n") == 1
    assert "\r" not in lines.getvalue()
    assert "\x1b" not in lines.getvalue()
    assert "\u2028" not in lines.getvalue()


def test_an_exception_is_its_type_and_place_not_its_text(lines: io.StringIO) -> None:
    def render() -> None:
        raise ValueError("Dear Ann, your code is 123456")

    try:
        try:
            render()
        except ValueError as error:
            raise KeyError("recipient ann") from error
    except KeyError:
        logging.getLogger("test").exception("rendering failed")
    line = lines.getvalue()
    assert "error=KeyError at tests/unit/runtime/test_logs.py:" in line
    assert "caused by ValueError at" in line
    assert " render" in line
    assert "Ann" not in line
    assert "123456" not in line
    assert "recipient" not in line


def test_an_error_of_the_system_keeps_its_text() -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        Path("/nonexistent/file").read_bytes()
    assert "No such file or directory" in logs.summary(caught.value)


def test_a_wrong_format_string_neither_fails_nor_prints_its_arguments() -> None:
    record = logging.makeLogRecord({"name": "portal", "msg": "two %s %s", "args": ("CANARY",)})
    line = logs.LineFormatter().format(record)
    assert "two %s %s" in line
    assert "CANARY" not in line


def test_json_lines_hold_the_extra_fields() -> None:
    record = logging.makeLogRecord({"name": "portal", "levelname": "INFO", "msg": "hello\nworld", "lane": "high"})
    fields = json.loads(logs.LineFormatter(as_json=True).format(record))
    assert fields["message"] == "hello\nworld"
    assert fields["lane"] == "high"
    assert fields["level"] == "info"
    assert fields["time"].endswith("Z")
