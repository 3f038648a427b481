"""Takes the messages of every channel, keeps them, and fails as often as it is told to.

The demo's vendor, the load test's vendor and the fault tests' vendor. Without latency and without rates a message costs
one call of `ctx.keep`; nothing waits and nothing is drawn.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from portal.sdk import EVERY_CHANNEL, Capabilities, Context, Message, Provider, Receipt, SendFailed


class SandboxSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the sandbox behaves. The rates are shares of all messages, from 0 to 1."""

    latency_ms: Annotated[
        float, Meta(ge=0, le=120_000, title="Latency", description="Milliseconds that each call takes.")
    ] = 0
    jitter: Annotated[
        float, Meta(ge=0, le=1, title="Jitter", description="Share of the latency by which it varies, both ways.")
    ] = 0
    failure_rate: Annotated[
        float, Meta(ge=0, le=1, title="Failures", description="Share that fails and may be tried again.")
    ] = 0
    permanent_rate: Annotated[
        float, Meta(ge=0, le=1, title="Permanent failures", description="Share that is refused for good.")
    ] = 0
    throttle_rate: Annotated[
        float, Meta(ge=0, le=1, title="Throttled", description="Share that is told to come back in a second.")
    ] = 0
    ambiguous_rate: Annotated[
        float, Meta(ge=0, le=1, title="Ambiguous", description="Share that is kept, but whose answer is lost.")
    ] = 0
    keep: Annotated[bool, Meta(title="Keep messages", description="Show them in the sandbox outbox.")] = True


class Sandbox(Provider):
    """Sends nothing."""

    name = "sandbox"
    title = "Sandbox"
    channel = EVERY_CHANNEL
    settings_type = SandboxSettings
    capabilities = Capabilities(batch=500)

    settings: SandboxSettings

    def __init__(self, settings: SandboxSettings) -> None:
        super().__init__(settings)
        self._moody = any(
            (settings.failure_rate, settings.permanent_rate, settings.throttle_rate, settings.ambiguous_rate)
        )

    async def send(self, message: Message, ctx: Context) -> Receipt:
        """Keep one message, or fail by the rates."""
        await self._take_time()
        return self._outcome(message, ctx)

    async def send_many(self, messages: Sequence[Message], ctx: Context) -> list[Receipt | SendFailed]:
        """One call of a vendor that takes many at once: the latency passes once."""
        await self._take_time()
        if not self._moody:
            return [self._accept(message, ctx) for message in messages]
        results: list[Receipt | SendFailed] = []
        for message in messages:
            try:
                results.append(self._outcome(message, ctx))
            except SendFailed as failure:
                results.append(failure)
        return results

    async def check(self, ctx: Context) -> str:
        """Nothing to reach."""
        return "The sandbox is ready; it keeps messages and sends nothing."

    async def _take_time(self) -> None:
        settings = self.settings
        if settings.latency_ms:
            spread = random.uniform(-settings.jitter, settings.jitter) if settings.jitter else 0.0
            await asyncio.sleep(settings.latency_ms * (1 + spread) / 1000)

    def _accept(self, message: Message, ctx: Context) -> Receipt:
        if self.settings.keep:
            ctx.keep(message)
        return Receipt(message.id)

    def _outcome(self, message: Message, ctx: Context) -> Receipt:
        if not self._moody:
            return self._accept(message, ctx)
        settings = self.settings
        drawn = random.random()
        for rate, failure in (
            (settings.throttle_rate, SendFailed("The sandbox is throttling.", retry_after=1.0, code="429")),
            (settings.permanent_rate, SendFailed("The sandbox refused for good.", permanent=True, code="400")),
            (settings.failure_rate, SendFailed("The sandbox failed this time.", code="503")),
        ):
            if drawn < rate:
                raise failure
            drawn -= rate
        receipt = self._accept(message, ctx)
        if drawn < settings.ambiguous_rate:
            raise SendFailed("The sandbox kept the message and lost the answer.", ambiguous=True, code="timeout")
        return receipt
