"""The class a provider derives from. It sends once and says what came back; the core does everything else."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from msgspec import Struct

from portal.sdk.context import Context
from portal.sdk.failures import SendFailed
from portal.sdk.message import Message, Receipt
from portal.sdk.settings import NoSettings
from portal.sdk.tracking import CallbackRequest, TrackerEvent

EVERY_CHANNEL = "*"
"""`channel` of a provider that can take the messages of any channel."""


class Capabilities(Struct, frozen=True, kw_only=True):
    """What the vendor can do, so that the core can use it.

    `batch`             messages per `send_many` call; 1 = only `send`.
    `idempotency_hours` how long the vendor swallows a second message with the same id; 0 = it does not.
    `lookup`            `lookup` can say whether a message was accepted.
    `receipts`          the vendor calls back, `parse_callback` reads it.
    `polls`             `poll` fetches what happened since.
    """

    batch: int = 1
    idempotency_hours: float = 0
    lookup: bool = False
    receipts: bool = False
    polls: bool = False


class Cost(Struct, frozen=True):
    """What one message is expected to cost: `amount` in `currency` (ISO 4217), for `units` of the channel's measure."""

    amount: Decimal
    currency: str
    units: int = 1


class Provider:
    """One vendor of one channel. One instance serves one account in one process, for many sends at once.

    `name` is unique over all plugins and never changes; `settings_type` declares the account's form. Everything below
    `send` is optional. Nothing here retries, sleeps, logs secrets or opens sockets except through `ctx`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    channel: ClassVar[str]
    settings_type: ClassVar[type[Struct]] = NoSettings
    settings_version: ClassVar[int] = 1
    capabilities: ClassVar[Capabilities] = Capabilities()

    settings: Any
    """The account's settings, an instance of `settings_type`. Derived classes annotate it with their own type."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    async def open(self, ctx: Context) -> None:
        """Called once before the first use in this process. Raise SendFailed when the account cannot work."""

    async def close(self) -> None:
        """Called once when the account is changed or the process ends. Close what `open` and `send` opened."""

    async def send(self, message: Message, ctx: Context) -> Receipt:
        """Hand one message to the vendor, once.

        Raises SendFailed for every answer that is not an acceptance. Timeouts and connection errors may simply
        escape: the core classes them. Cancellation must pass through.
        """
        raise NotImplementedError

    async def send_many(self, messages: Sequence[Message], ctx: Context) -> list[Receipt | SendFailed]:
        """At most `capabilities.batch` messages in one call; one result each, in the same order.

        Raise SendFailed only when the whole call failed for all of them.
        """
        raise NotImplementedError

    async def lookup(self, message_id: str, ctx: Context) -> Receipt | None:
        """Whether the vendor accepted the message with this id: its receipt, or None when the vendor never saw it.

        Raises SendFailed when the vendor cannot say now.
        """
        raise NotImplementedError

    async def poll(self, since: datetime, ctx: Context) -> Iterable[TrackerEvent]:
        """What the vendor reports to have happened since. The same event may be returned again."""
        raise NotImplementedError

    def parse_callback(self, request: CallbackRequest) -> Iterable[TrackerEvent]:
        """Read a vendor's callback. Raises CallbackRefused when its signature is missing or wrong.

        Runs in a thread, at most 1 s, for bodies up to 1 MB; does no I/O.
        """
        raise NotImplementedError

    async def check(self, ctx: Context) -> str:
        """The Test button: reach the vendor without sending anything, and say in a sentence what was found.

        Raises SendFailed with a sentence that says what to change.
        """
        raise NotImplementedError

    async def recall(self, receipt: Receipt, ctx: Context) -> bool:
        """Take back what was accepted and not yet delivered; True when the vendor did."""
        raise NotImplementedError

    def estimate(self, message: Message) -> Cost | None:
        """What this message will cost, or None when that is not known. Does no I/O."""
        return None

    @classmethod
    def upgrade(cls, old_settings: dict[str, Any], from_version: int) -> dict[str, Any]:
        """Settings (secrets included) written for an older `settings_version`, as this version wants them."""
        return old_settings


def implements(provider: Provider | type[Provider], method: str) -> bool:
    """Whether a provider has this optional method itself."""
    kind = provider if isinstance(provider, type) else type(provider)
    return getattr(kind, method) is not getattr(Provider, method)
