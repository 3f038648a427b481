"""What the tests of providers share: a registry with the built-in plugins, a keyring, an actor."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from portal.access.actor import SYSTEM
from portal.db import Database, Revisions
from portal.plugin_loader import Registry, load
from portal.providers import Accounts, Guard, seed
from portal.providers.create import create_account
from portal.providers.schemas import AccountCreate, RouteCreate
from portal.providers.set_route import add_route
from portal.sealing import Keyring
from portal.settings import Settings

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
SECRET = "canary-password-5f1e"


class World:
    """One installation and one process of it."""

    def __init__(self, db: Database, *, keys: Sequence[bytes] = (KEY,), plugins: Sequence[str] | None = None) -> None:
        self.db = db
        settings = Settings() if plugins is None else Settings(plugins=list(plugins))
        self.registry: Registry = load(settings)
        self.keyring = Keyring(keys)
        self.revisions = Revisions(db)
        self.accounts = Accounts(db, self.registry, self.keyring, self.revisions, guard=Guard(["127.0.0.1"]))

    async def seeded(self) -> World:
        """With the sandbox accounts, and loaded."""
        await self.db.transact(seed, self.registry)
        await self.accounts.load()
        return self

    async def account(self, key: str, provider: str = "sandbox", channel: str = "email", **changes: object) -> UUID:
        """A new account."""
        given = AccountCreate(key=key, channel=channel, provider=provider, **changes)  # type: ignore[arg-type]
        return await self.db.transact(create_account, SYSTEM, self.registry, self.keyring, given)

    async def step(self, account_id: UUID, position: int = 0, channel: str = "email", **changes: object) -> UUID:
        """A new step of a route."""
        given = RouteCreate(channel=channel, account_id=account_id, position=position, **changes)  # type: ignore[arg-type]
        return await self.db.transact(add_route, SYSTEM, given)


def smtp_settings(**changes: object) -> dict[str, object]:
    """Settings of an smtp account with a secret."""
    settings = {"host": "mail.example.com", "sender": "a@example.com", "username": "u", "password": SECRET}
    return {**settings, **changes}
