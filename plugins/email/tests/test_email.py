"""The channel email, and what its mails look like."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import msgspec
import pytest

from plugins.email.channel import Email
from plugins.email.compose import compose
from portal.sdk import Attachment, Message, SendFailed
from portal.sdk.testing import ChannelContract, sample_message

MESSAGE = sample_message(
    channel="email",
    address="ann@example.com",
    parts={"subject": "Grüße 你好", "text": "Hello\n.\nline", "html": "<p>Hello</p>"},
)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class TestEmailChannel(ChannelContract):
    channel = Email
    good = {
        "Ann.Lee@Example.COM": "Ann.Lee@example.com",
        "o'neil+tag@mail.example.co.uk": "o'neil+tag@mail.example.co.uk",
        "root@localhost": "root@localhost",
        "post@münchen.example": "post@xn--mnchen-3ya.example",
    }
    bad = ["ann", "ann@", "@example.com", "a b@example.com", "ann@exam ple.com", "a@b@c.com", "ann.@example.com"]
    bad += [
        "Ann <ann@example.com>",
        "ann@example..com",
        "ann@-example.com",
        "a" * 65 + "@example.com",
        "ann@[127.0.0.1]",
    ]
    parts = {"subject": "Hello", "text": "Hi"}


def test_a_mail_needs_a_text_or_an_html_part() -> None:
    assert "text" in Email().validate({"subject": "Hello"})
    assert Email().validate({"subject": "Hello", "html": "<p>Hi</p>"}) == {}


def written(message: Message = MESSAGE, sender: str = "Example <noreply@example.com>") -> EmailMessage:
    """The mail as a receiver parses it."""
    parsed = message_from_bytes(compose(message, sender, NOW).as_bytes(), policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_a_mail_has_its_fields_and_both_parts() -> None:
    mail = written()
    assert mail["Subject"] == "Grüße 你好"
    assert mail["From"] == "Example <noreply@example.com>"
    assert mail["To"] == "ann@example.com"
    assert mail["Message-ID"] == f"<{MESSAGE.id}@example.com>"
    assert mail["Date"].datetime == NOW
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().splitlines() == ["Hello", ".", "line"]


def test_a_second_try_has_the_same_message_id() -> None:
    assert written()["Message-ID"] == written()["Message-ID"]


@pytest.mark.parametrize(("parts", "kind"), [({"text": "Hi"}, "text/plain"), ({"html": "<p>Hi</p>"}, "text/html")])
def test_a_mail_of_one_part_has_one_part(parts: dict[str, str], kind: str) -> None:
    mail = written(msgspec.structs.replace(MESSAGE, parts={"subject": "Hello", **parts}))
    assert mail.get_content_type() == kind


def test_lines_are_short_and_ascii_on_the_wire() -> None:
    long = msgspec.structs.replace(MESSAGE, parts={**MESSAGE.parts, "text": "你好" * 2000, "subject": "é" * 400})
    raw = compose(long, "noreply@example.com", NOW).as_bytes()
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_unsubscribing_takes_one_click_over_https() -> None:
    mail = written(msgspec.structs.replace(MESSAGE, unsubscribe_url="https://example.com/u/abc?x=1"))
    assert mail["List-Unsubscribe"] == "<https://example.com/u/abc?x=1>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_one_click_is_not_promised_without_https() -> None:
    mail = written(msgspec.structs.replace(MESSAGE, unsubscribe_url="http://example.com/u"))
    assert mail["List-Unsubscribe"] == "<http://example.com/u>"
    assert mail["List-Unsubscribe-Post"] is None


def test_a_header_of_the_message_can_say_how_to_unsubscribe() -> None:
    headers = {"List-Unsubscribe": "<mailto:u@example.com>, <https://example.com/u>"}
    mail = written(msgspec.structs.replace(MESSAGE, headers=headers, unsubscribe_url="https://other.example/u"))
    assert mail["List-Unsubscribe"] == headers["List-Unsubscribe"]
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_attachments_go_along() -> None:
    files = (
        Attachment(name="Rechnung März.pdf", content_type="application/pdf", content=b"%PDF"),
        Attachment(name="logo.png", content_type="image/png", content=b"\x89PNG", content_id="logo@example.com"),
    )
    mail = written(msgspec.structs.replace(MESSAGE, attachments=files))
    assert mail.get_content_type() == "multipart/mixed"
    attached = list(mail.iter_attachments())
    assert [part.get_filename() for part in attached] == ["Rechnung März.pdf"]
    inline = [part for part in mail.walk() if part["Content-ID"]]
    assert [part["Content-ID"] for part in inline] == ["<logo@example.com>"]
    assert inline[0].get_content() == b"\x89PNG"
    assert inline[0].get_content_disposition() == "inline"


@pytest.mark.parametrize("name", ["From", "bcc", "Content-Type", "DKIM-Signature", "Return-Path", "To"])
def test_a_message_cannot_set_what_the_composer_sets(name: str) -> None:
    with pytest.raises(SendFailed) as refused:
        written(msgspec.structs.replace(MESSAGE, headers={name: "x@example.com"}))
    assert refused.value.permanent
