"""Row 35: nothing that a caller can set becomes another header field, another recipient or another message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email import message_from_bytes, policy

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.email.compose import compose
from plugins.email.provider import Smtp, SmtpSettings
from plugins.webhook.provider import SignedPost, WebhookSettings
from portal.providers.context import AccountContext, AccountLog
from portal.providers.egress import Guard
from portal.sdk import Attachment, Message, SendFailed, header_problem
from portal.sdk.testing import NOW, sample_message
from tests.http_peer import http_peer
from tests.smtp_peer import SmtpPeer

EVIL = "evil@attacker.example"
SMUGGLERS = {
    "CRLF": f"x\r\nBcc: {EVIL}",
    "LF": f"x\nBcc: {EVIL}",
    "CR": f"x\rBcc: {EVIL}",
    "NUL": f"x\0Bcc: {EVIL}",
    "folded": f"x\r\n Bcc: {EVIL}",
    "two lines and a body": f"x\r\n\r\nHello\r\nBcc: {EVIL}",
    "vertical tab": f"x\x0bBcc: {EVIL}",
    "form feed": f"x\x0cBcc: {EVIL}",
    "file separator": f"x\x1cBcc: {EVIL}",
    "next line": f"x\x85Bcc: {EVIL}",
    "line separator": f"x\u2028Bcc: {EVIL}",
    "paragraph separator": f"x\u2029Bcc: {EVIL}",
    "Q word with LF": f"=?utf-8?q?x=0ABcc:_{EVIL}?=",
    "Q word with CRLF": f"=?utf-8?q?x=0D=0ABcc:_{EVIL}?=",
    "Q word in Latin-1": f"=?iso-8859-1?Q?x=0aBcc:_{EVIL}?=",
    "B word with LF": "=?utf-8?b?eApCY2M6IGV2aWxAYXR0YWNrZXIuZXhhbXBsZQ==?=",
    "Q word with NUL": "=?utf-8?q?x=00y?=",
    "two words that join": "=?utf-8?q?x=0A?= =?utf-8?q?Bcc:_e@a.example?=",
    "UTF-16 word": "=?utf-16?b?AAoAQgBjAGM=?=",
    "UTF-7 word": "=?utf-7?q?x+AAo-Bcc:?=",
    "word of an unknown charset": "=?x-unknown?q?x=0ABcc:?=",
}
each_smuggler = pytest.mark.parametrize("text", SMUGGLERS.values(), ids=SMUGGLERS.keys())
MAIL = sample_message(channel="email", address="ann@example.com", parts={"subject": "Hello", "text": "Hi"})
POST = sample_message(channel="webhook", address="", parts={"body": "{}"})


class NoTokens:
    """Neither provider shares tokens."""


@pytest.fixture
async def ctx() -> AsyncIterator[AccountContext]:
    """The real context, which may reach loopback."""
    log = AccountLog("smtp", "mail", [])
    context = AccountContext(Guard(["127.0.0.1"]), NoTokens(), log, connections=4, deadline=5)  # type: ignore[arg-type]
    yield context
    await context.close()


def variants(text: str) -> dict[str, Message]:
    """The message with this text in each place that a caller can reach."""
    change = msgspec.structs.replace
    evil_file = Attachment(name=text, content_type="text/plain", content=b"x")
    evil_type = Attachment(name="a.txt", content_type=f"text/plain; {text}", content=b"x")
    evil_cid = Attachment(name="a.png", content_type="image/png", content=b"x", content_id=text)
    return {
        "subject": change(MAIL, parts={**MAIL.parts, "subject": text}),
        "address": change(MAIL, address=text),
        "address local part": change(MAIL, address=f"{text}@example.com"),
        "reply to": change(MAIL, reply_to=text),
        "reply to name": change(MAIL, reply_to=f"{text} <ann@example.com>"),
        "header value": change(MAIL, headers={"X-Note": text}),
        "header name": change(MAIL, headers={text: "x"}),
        "header name prefix": change(MAIL, headers={f"X-Note: {text}": "x"}),
        "list-unsubscribe": change(MAIL, headers={"List-Unsubscribe": text}),
        "unsubscribe link": change(MAIL, unsubscribe_url=f"https://example.com/{text}"),
        "locale": change(MAIL, locale=text),
        "file name": change(MAIL, attachments=(evil_file,)),
        "file type": change(MAIL, attachments=(evil_type,)),
        "content id": change(MAIL, parts={**MAIL.parts, "html": "<p>x</p>"}, attachments=(evil_cid,)),
        "id": change(MAIL, id=text),
    }


@each_smuggler
async def test_a_real_mail_server_sees_no_second_field_and_no_second_recipient(
    text: str, smtp_server: SmtpPeer, ctx: AccountContext
) -> None:
    settings = SmtpSettings(host="127.0.0.1", port=smtp_server.plain_port, tls="none", sender="shop@example.com")
    provider = Smtp(settings)
    for place, message in variants(text).items():
        try:
            await provider.send(message, ctx)
        except SendFailed as refused:
            assert refused.permanent, place
    await provider.close()
    for received in smtp_server.received:
        assert received.recipients == ["ann@example.com"]
        assert received.message["Bcc"] is None
        assert b"\nBcc" not in received.content
        assert b"\rBcc" not in received.content
        assert b"\0" not in received.content
        for header in received.message.values():
            assert not set("\r\n\0") & set(str(header))


@each_smuggler
def test_every_smuggler_is_recognised_in_a_value(text: str) -> None:
    assert header_problem("X-Note", text) is not None


@pytest.mark.parametrize("name", ["", "X Note", "X:Note", "X\nNote", "Ü", "X-" + "a" * 80, "\0", "X\r\nBcc"])
def test_a_name_that_is_no_field_name_is_refused(name: str) -> None:
    assert header_problem(name, "x") is not None


@pytest.mark.parametrize(
    "value", ["plain", "Grüße 你好 👩‍👩‍👧", "a\tb", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "a =? b ?=", ""]
)
def test_honest_values_pass(value: str) -> None:
    assert header_problem("X-Note", value) is None


@each_smuggler
async def test_a_webhook_receiver_sees_no_second_field(text: str, ctx: AccountContext) -> None:
    async with http_peer() as peer:
        secret = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
        provider = SignedPost(WebhookSettings(secret=secret, https_only=False))
        for headers in ({"X-Note": text}, {text: "x"}):
            message = msgspec.structs.replace(POST, address=peer.url(), headers=headers)
            with pytest.raises(SendFailed) as refused:
                await provider.send(message, ctx)
            assert refused.value.permanent
        assert peer.heard == []


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=30))
def test_whatever_the_text_a_written_mail_has_one_of_each_field(subject: str, note: str, name: str) -> None:
    message = msgspec.structs.replace(
        MAIL, parts={"subject": subject, "text": note}, headers={"X-Note": note}, reply_to=f'"{name}" <a@example.com>'
    )
    try:
        raw = compose(message, "shop@example.com", NOW).as_bytes()
    except SendFailed as refused:
        assert refused.permanent
        return
    parsed = message_from_bytes(raw, policy=policy.SMTP)
    known = {"from", "to", "subject", "date", "message-id", "reply-to", "x-note", "auto-submitted", "content-type"}
    known |= {"content-transfer-encoding", "mime-version"}
    names = [key.lower() for key in parsed.keys()]  # noqa: SIM118 - a message's keys repeat, a dict's do not
    assert set(names) <= known
    assert len(names) == len(set(names))
