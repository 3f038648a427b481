"""Send `sms` messages with a token that is fetched once for all processes, and read signed callbacks."""

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from portal.sdk import (
    CallbackRefused,
    CallbackRequest,
    Capabilities,
    Context,
    Message,
    Provider,
    Receipt,
    SendFailed,
    TrackerEvent,
    receipt_or_failure,
    secret,
)

KINDS = {"DELIVRD": "delivered", "UNDELIV": "bounced"}


class AcornSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Acorn account."""

    client: Annotated[str, Meta(title="Client id", min_length=1)]
    client_secret: Annotated[str, secret("Client secret", min_length=1)]
    callback_secret: Annotated[str, secret("Callback secret", min_length=1)]
    server: Annotated[str, Meta(title="Server")] = "https://acorn.example"


class Call(Struct):
    """One callback."""

    id: str
    status: str
    at: datetime
    event: str


class Acorn(Provider):
    """A token lives for ten minutes."""

    name = "acorn"
    title = "Acorn SMS"
    channel = "sms"
    settings_type = AcornSettings
    capabilities = Capabilities(receipts=True)

    settings: AcornSettings

    async def send(self, message: Message, ctx: Context) -> Receipt:
        """Send once; a refused token is dropped, and the core's next try fetches another."""

        async def fetch() -> str:
            return await self._token(ctx)

        token = await ctx.token("access", fetch, 600)
        response = await ctx.http.post(
            f"{self.settings.server}/send",
            headers={"Authorization": f"Bearer {token}"},
            json={"to": message.address, "text": message.parts["text"], "reference": message.id},
        )
        if response.status_code == 401:
            await ctx.forget_token("access", token)
            raise SendFailed("The token is not valid any more.", code="401")
        return receipt_or_failure(response, id="id")

    async def _token(self, ctx: Context) -> str:
        form = {"client_id": self.settings.client, "client_secret": self.settings.client_secret}
        response = await ctx.http.post(f"{self.settings.server}/token", data=form)
        receipt_or_failure(response)
        try:
            return str(response.json()["access_token"])
        except (ValueError, KeyError, TypeError):
            raise SendFailed("Acorn gave no token.") from None

    def parse_callback(self, request: CallbackRequest) -> Iterable[TrackerEvent]:
        """One fact per call, signed with HMAC-SHA256 over the body."""
        expected = hmac.new(self.settings.callback_secret.encode(), request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get("x-acorn-signature", "")):
            raise CallbackRefused("The signature does not match.")
        call: Any = msgspec.json.decode(request.body, type=Call)
        kind = KINDS.get(call.status)
        if kind is None:
            return []
        return [TrackerEvent(kind=kind, at=call.at, vendor_id=call.id, event_id=call.event)]
