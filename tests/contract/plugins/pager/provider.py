"""Speak to a paging gateway: one line per page over TCP, one line back."""

import asyncio
from typing import Annotated

from msgspec import Meta, Struct

from portal.sdk import Context, Message, Provider, Receipt, SendFailed


class PagerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway."""

    host: Annotated[str, Meta(title="Gateway", min_length=1)]
    port: Annotated[int, Meta(title="Port", ge=1, le=65535)] = 7777


class PagerGateway(Provider):
    """One connection for the account, one page at a time."""

    name = "pager_gateway"
    title = "Pager gateway"
    channel = "pager"
    settings_type = PagerSettings

    settings: PagerSettings

    def __init__(self, settings: PagerSettings) -> None:
        super().__init__(settings)
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def send(self, message: Message, ctx: Context) -> Receipt:
        """PAGE id number urgency text → OK vendor-id | BUSY | NO reason"""
        async with self._turn:
            if self._streams is None:
                self._streams = await ctx.connect(self.settings.host, self.settings.port)
            reader, writer = self._streams
            try:
                text = message.parts["text"].replace("\n", " ")
                writer.write(
                    f"PAGE {message.id} {message.address} {message.parts.get('urgency', '1')} {text}\n".encode()
                )
                line = (await reader.readline()).decode().split()
            except BaseException:
                # Nobody knows whose answer the next line would be.
                await self.close()
                raise
        return _receipt(line)


def _receipt(line: list[str]) -> Receipt:
    match line:
        case ["OK", vendor_id]:
            return Receipt(vendor_id)
        case ["BUSY"]:
            raise SendFailed("The gateway is busy.", retry_after=5)
        case ["NO", *_]:
            raise SendFailed("The gateway does not know this pager.", suppress=True)
    raise SendFailed("The gateway hung up.", ambiguous=True)
