"""Send `sms` messages with Example's "send" call.

Source: put the address of the vendor's own documentation here.
"""

from typing import Annotated

from msgspec import Meta, Struct

from portal.sdk import Capabilities, Context, Message, Provider, Receipt, SendFailed, receipt_or_failure, secret


class ExampleSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account at Example. The portal's form, its checks and the sealing of secrets come from these fields."""

    token: Annotated[str, secret("Access token", "Found at Example under Settings, API.", min_length=8)]
    server: Annotated[str, Meta(title="Server", pattern="^https://[^/]+$")] = "https://api.example.com"
    sender: Annotated[str, Meta(title="Sender", description="At most 11 letters and digits.", max_length=11)] = "Portal"


class Example(Provider):
    """One request per message; Example swallows a second one with the same id for a day."""

    name = "example"
    title = "Example"
    channel = "sms"
    settings_type = ExampleSettings
    capabilities = Capabilities(idempotency_hours=24)

    settings: ExampleSettings

    async def send(self, message: Message, ctx: Context) -> Receipt:
        """Send once. The core retries, fails over and times out; an error of the connection may simply escape."""
        response = await ctx.http.post(
            f"{self.settings.server}/v1/send",
            headers={"Authorization": f"Bearer {self.settings.token}", "Idempotency-Key": message.id},
            json={"to": message.address, "from": self.settings.sender, "text": message.parts["text"]},
        )
        return receipt_or_failure(response, id="message.id")

    async def check(self, ctx: Context) -> str:
        """Ask who we are: reaches the vendor and sends nothing."""
        response = await ctx.http.get(
            f"{self.settings.server}/v1/account", headers={"Authorization": f"Bearer {self.settings.token}"}
        )
        if response.status_code == 401:
            raise SendFailed("Example does not know this access token.", permanent=True)
        receipt_or_failure(response)
        return "Example was reached and knows the access token."
