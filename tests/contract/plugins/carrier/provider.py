"""Send `sms` messages, poll for what became of them, and look up one by our own id."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from portal.sdk import Capabilities, Context, Message, Provider, Receipt, SendFailed, TrackerEvent, receipt_or_failure
from portal.sdk import secret as sealed


class CarrierSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Carrier account; an older version had the address in two fields."""

    api_key: Annotated[str, sealed("API key", min_length=1)]
    server: Annotated[str, Meta(title="Server")] = "https://carrier.example"


class Carrier(Provider):
    """Knows our id for a day, so that doubt can be settled by asking."""

    name = "carrier"
    title = "Carrier SMS"
    channel = "sms"
    settings_type = CarrierSettings
    settings_version = 2
    capabilities = Capabilities(lookup=True, polls=True)

    settings: CarrierSettings

    @property
    def _headers(self) -> dict[str, str]:
        return {"X-Api-Key": self.settings.api_key}

    async def send(self, message: Message, ctx: Context) -> Receipt:
        """Send once."""
        body = {"to": message.address, "text": message.parts["text"], "ref": message.id}
        response = await ctx.http.post(f"{self.settings.server}/messages", headers=self._headers, json=body)
        return receipt_or_failure(response, id="messages.0.id")

    async def lookup(self, message_id: str, ctx: Context) -> Receipt | None:
        """Whether Carrier has the message with our id."""
        response = await ctx.http.get(f"{self.settings.server}/messages/by-ref/{message_id}", headers=self._headers)
        if response.status_code == 404:
            return None
        return receipt_or_failure(response, id="id")

    async def poll(self, since: datetime, ctx: Context) -> Iterable[TrackerEvent]:
        """Everything since then, at most a page at a time."""
        response = await ctx.http.get(
            f"{self.settings.server}/reports", headers=self._headers, params={"since": since.isoformat()}
        )
        receipt_or_failure(response)
        try:
            reports = response.json()["reports"]
        except (ValueError, KeyError, TypeError):
            raise SendFailed("Carrier's report cannot be read.") from None
        return [
            TrackerEvent(kind="delivered", at=datetime.fromisoformat(report["at"]), vendor_id=report["id"])
            for report in reports
            if report["state"] == "delivered"
        ]

    @classmethod
    def upgrade(cls, old_settings: dict[str, object], from_version: int) -> dict[str, object]:
        """Version 1 had `host` and `port`."""
        if from_version >= 2:
            return old_settings
        rest = {name: value for name, value in old_settings.items() if name not in ("host", "port")}
        return {**rest, "server": f"https://{old_settings['host']}:{old_settings['port']}"}
