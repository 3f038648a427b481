"""The channel webhook and its provider."""

import base64
import os
from datetime import UTC, datetime

import httpx2
import msgspec
import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from plugins.webhook.channel import Webhook
from plugins.webhook.provider import SignedPost, WebhookSettings
from portal.sdk import SendFailed
from portal.sdk.testing import ChannelContract, ContextForTests, HttpProviderContract, sample_message

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLDER = "whsec_" + base64.b64encode(os.urandom(24)).decode()
MESSAGE = sample_message(
    channel="webhook", address="https://example.com/hooks/orders", parts={"body": '{"order": 17, "note": "schön"}'}
)


class TestWebhookChannel(ChannelContract):
    channel = Webhook
    good = {
        "https://example.com/hooks": "https://example.com/hooks",
        "HTTPS://Example.COM:443/a?b=c": "https://example.com/a?b=c",
        "http://93.184.216.34:8080/": "http://93.184.216.34:8080/",
        "https://[2606:4700::1111]/": "https://[2606:4700::1111]/",
    }
    bad = [
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https://@example.com/",
        "https://example.com/#part",
        "https:///nothing",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://example.com/a b",
        "//example.com/",
    ]
    parts = {"body": '{"a": 1}'}


class TestSignedPost(HttpProviderContract):
    provider = SignedPost
    settings = {"secret": SECRET}
    message = MESSAGE
    accepted = httpx2.Response(204)
    wrong_settings = [{"secret": "short"}, {"secret": "?" * 40}, {"previous_secret": "not base64 at all!"}]


async def posted(settings: WebhookSettings, **changes: object) -> httpx2.Request:
    context = ContextForTests(lambda _: httpx2.Response(200))
    context.time = datetime.now(UTC)
    await SignedPost(settings).send(msgspec.structs.replace(MESSAGE, **changes), context)
    return context.requests[0]


async def test_the_receiver_can_verify_it() -> None:
    request = await posted(WebhookSettings(secret=SECRET))
    assert Verifier(SECRET).verify(request.content, dict(request.headers)) == {"order": 17, "note": "schön"}
    assert request.headers["webhook-id"] == MESSAGE.id
    assert request.headers["content-type"] == "application/json"
    assert request.content == MESSAGE.parts["body"].encode()


async def test_a_changed_body_does_not_verify() -> None:
    request = await posted(WebhookSettings(secret=SECRET))
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(request.content.replace(b"17", b"18"), dict(request.headers))


async def test_during_a_rotation_both_secrets_verify_and_afterwards_one_does() -> None:
    both = await posted(WebhookSettings(secret=SECRET, previous_secret=OLDER))
    for secret in (SECRET, OLDER):
        Verifier(secret).verify(both.content, dict(both.headers))
    after = await posted(WebhookSettings(secret=SECRET))
    with pytest.raises(WebhookVerificationError):
        Verifier(OLDER).verify(after.content, dict(after.headers))


def test_the_signature_is_that_of_the_published_example() -> None:
    # https://github.com/standard-webhooks/standard-webhooks: the example that all libraries are tested with.
    settings = WebhookSettings(secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = SignedPost(settings)._sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), '{"test": 2432232314}'
    )
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_an_address_without_tls_is_refused_unless_allowed() -> None:
    with pytest.raises(SendFailed) as refused:
        await posted(WebhookSettings(secret=SECRET), address="http://example.com/")
    assert refused.value.permanent
    request = await posted(WebhookSettings(secret=SECRET, https_only=False), address="http://example.com/")
    assert str(request.url) == "http://example.com/"


@pytest.mark.parametrize("name", ["Webhook-Signature", "content-length", "Host"])
async def test_a_message_cannot_set_what_the_sender_sets(name: str) -> None:
    with pytest.raises(SendFailed) as refused:
        await posted(WebhookSettings(secret=SECRET), headers={name: "x"})
    assert refused.value.permanent
