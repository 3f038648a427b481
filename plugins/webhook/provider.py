"""Posts JSON and signs it, so that the receiver knows who sent it and can drop a repeated message.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct
from standardwebhooks import Webhook as Signer

from portal.sdk import Context, Message, Provider, Receipt, SendFailed, header_problem, receipt_or_failure, secret

SECRET_HELP = "Base64 of 24 to 64 random bytes, with or without the prefix whsec_."  # noqa: S105 - a help text
MIN_KEY, MAX_KEY = 24, 64
RESERVED = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "user-agent"})


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sender of webhooks."""

    secret: Annotated[str, secret("Signing secret", SECRET_HELP, min_length=32, max_length=120)]
    previous_secret: Annotated[
        str, secret("Previous signing secret", "While receivers change over, both sign. Then clear it.", max_length=120)
    ] = ""
    https_only: Annotated[bool, Meta(title="HTTPS only", description="Refuse addresses without TLS.")] = True

    def __post_init__(self) -> None:
        for name, text in (("secret", self.secret), ("previous_secret", self.previous_secret)):
            if text and not _key(text):
                raise ValueError(f"{name}: {SECRET_HELP}")


class SignedPost(Provider):
    """One POST per message; the id in `webhook-id` is the same at every try."""

    name = "webhook"
    title = "Signed webhook"
    channel = "webhook"
    settings_type = WebhookSettings

    settings: WebhookSettings

    def __init__(self, settings: WebhookSettings) -> None:
        super().__init__(settings)
        keys = [_key(text) for text in (settings.secret, settings.previous_secret) if text]
        self._signers = [Signer(key) for key in keys if key]

    async def send(self, message: Message, ctx: Context) -> Receipt:
        """Post once. 410 means that the receiver never wants another; redirects are refused, not followed."""
        if self.settings.https_only and not message.address.startswith("https://"):
            raise SendFailed("The address has no TLS, and this account sends over https only.", permanent=True)
        body = message.parts["body"]
        headers = self._sign(message.id, ctx.now(), body)
        headers.update(_extra(message))
        response = await ctx.http.post(message.address, content=body.encode(), headers=headers)
        receipt_or_failure(response)
        return Receipt(detail=f"Answered {response.status_code}.")

    def _sign(self, id: str, now: datetime, body: str) -> dict[str, str]:  # noqa: A002 - the field's own name
        now = now.astimezone(UTC)
        return {
            "content-type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(id, now, body) for signer in self._signers),
        }


def _extra(message: Message) -> dict[str, str]:
    extra = {}
    for name, value in message.headers.items():
        problem = header_problem(name, value)
        if problem is not None:
            raise SendFailed(problem, permanent=True)
        if name.lower() in RESERVED or name.lower().startswith("webhook-"):
            raise SendFailed(f"The header field {name} is set by the sender itself.", permanent=True)
        extra[name] = value
    return extra


def _key(text: str) -> bytes | None:
    """The bytes of a signing secret; None when it is not one."""
    encoded = text.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:  # base64's own error is one
        return None
    return key if MIN_KEY <= len(key) <= MAX_KEY else None
