"""One delivery in a worker's hands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from portal.providers import Kept
from portal.sdk import Message


class Job:
    """A delivery that is being worked on, with the rendered message. A mutable value of one chunk's run."""

    __slots__ = (
        "account_id", "address", "application_id", "attempts", "category", "channel", "expires_at", "files", "id", "kept",
        "message", "mode", "notification_id", "reference", "siblings", "stored", "template_key", "tried",
    )  # fmt: skip

    def __init__(
        self,
        *,
        id: UUID,  # noqa: A002 - the delivery's id
        notification_id: UUID,
        application_id: UUID,
        channel: str,
        address: str,
        account_id: UUID,
        category: str,
        template_key: str,
        mode: str,
        reference: str | None,
        expires_at: datetime | None,
        message: Message,
        files: Sequence[str] = (),
        siblings: int = 1,
        attempts: int = 0,
        tried: list[str] | None = None,
        stored: bool = False,
    ) -> None:
        self.id = id
        self.notification_id = notification_id
        self.application_id = application_id
        self.channel = channel
        self.address = address
        self.account_id = account_id
        self.category = category
        self.template_key = template_key
        self.mode = mode
        self.reference = reference
        self.expires_at = expires_at
        self.message = message
        # Ids of the files that go with it; they are loaded for the call alone.
        self.files = files
        # Deliveries that the notification has in all: with one, this delivery's end is the notification's.
        self.siblings = siblings
        # Attempts opened so far, this one included once it is open.
        self.attempts = attempts
        # Accounts that failed in this round; a leading "!" marks one that refused for good.
        self.tried = tried or []
        # Whether the delivery's row exists already.
        self.stored = stored
        # Messages that a sandbox account kept, until they are stored with the settlement.
        self.kept: list[Kept] = []

    @property
    def refused(self) -> list[str]:
        """Accounts that must not be asked again."""
        return [account[1:] for account in self.tried if account.startswith("!")]

    @property
    def failed(self) -> list[str]:
        """Accounts that failed in this round."""
        return [account for account in self.tried if not account.startswith("!")]
