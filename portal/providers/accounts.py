"""The accounts and routes of this process: read from the database, kept in memory, renewed when they change."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from portal.db import Database, Revisions
from portal.errors import InvalidInput, NotFound
from portal.plugin_loader import Registry
from portal.providers import queries
from portal.providers.bulkhead import Bulkhead
from portal.providers.context import AccountContext, AccountLog, Kept
from portal.providers.egress import Guard
from portal.providers.form import read, secret_names
from portal.providers.seed import FALLBACK_POSITION, sandbox_account_id
from portal.providers.tokens import Tokens
from portal.sdk import Provider, SendFailed
from portal.sealing import Keyring, WrongKey

log = logging.getLogger(__name__)

TABLE, FIELD = "provider_account", "secrets"
CLOSE_SECONDS = 30.0
# The process ends: what still runs then was given up by delivery already.
END_SECONDS = 1.0


class OpenAccount:
    """One account in this process: its provider, its way out, its bulkhead.

    `problem` says why it cannot be used (the plugin is missing, its settings do not fit, its secrets cannot be opened);
    such an account is on no route, and a send through it fails with that sentence.
    """

    def __init__(self, row: Any, provider: Provider | None, ctx: AccountContext, problem: str | None) -> None:
        self.id: UUID = row.id
        self.key: str = row.key
        self.title: str = row.title
        self.channel: str = row.channel
        self.provider_name: str = row.provider
        self.enabled: bool = row.enabled
        self.version: int = row.version
        self.timeout_seconds: float = row.timeout_seconds
        self.bulkhead = Bulkhead(row.concurrency)
        self.ctx = ctx
        self.problem = problem
        self._provider = provider
        self._opening: asyncio.Lock = asyncio.Lock()
        self._opened = False
        self._closed = False

    @property
    def provider(self) -> Provider:
        """The provider's instance; raises SendFailed for an account with a problem."""
        if self._provider is None:
            raise SendFailed(self.problem or "The account cannot be used.", code="account")
        return self._provider

    @property
    def usable(self) -> bool:
        """Whether a route may lead here."""
        return self.enabled and self.problem is None

    @property
    def batch(self) -> int:
        """Messages per vendor call."""
        return self.provider.capabilities.batch

    async def ready(self) -> None:
        """Return once the provider is open in this process; raises what its `open` raises, and tries again next time."""
        if self._closed:
            raise SendFailed("The account was changed meanwhile; the next try uses the new one.", code="account")
        if self._opened:
            return
        async with self._opening:
            if not self._opened:
                await self.provider.open(self.ctx)
                self._opened = True

    def take_kept(self, ids: Iterable[str]) -> list[Kept]:
        """The messages with these ids that the provider kept, once."""
        kept = self.ctx.kept
        return [kept.pop(key) for key in ids if key in kept] if kept else []

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Wait for the calls that run, at most so many seconds, then close the provider and its connections."""
        try:
            async with asyncio.timeout(seconds):
                await self.bulkhead.idle()
        except TimeoutError:
            log.warning("the provider account %s is closed while calls of it run", self.key)
        self._closed = True
        if self._opened and self._provider is not None:
            try:
                async with asyncio.timeout(5):
                    await self._provider.close()
            except Exception as error:
                log.warning("the provider %s did not close: %s", self.provider_name, type(error).__name__)
        await self.ctx.close()


class _Step(Struct, frozen=True):
    account_id: UUID
    position: int
    enabled: bool


class Accounts:
    """Every account and route. `load` first; afterwards the cache renews itself when the revision `providers` rises."""

    def __init__(
        self, db: Database, registry: Registry, keyring: Keyring, revisions: Revisions, *, guard: Guard | None = None
    ) -> None:
        self._db = db
        self._registry = registry
        self._keyring = keyring
        self.guard = guard or Guard()
        self._accounts: dict[UUID, OpenAccount] = {}
        self._routes: dict[tuple[str, UUID | None], list[_Step]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._loading = asyncio.Lock()
        revisions.on_change("providers", self.load)

    async def load(self) -> None:
        """Read everything; accounts that did not change keep their connections, the others are replaced."""
        # One after the other: an older reading must not replace a newer one.
        async with self._loading:
            await self._load()

    async def _load(self) -> None:
        async with self._db.read() as conn:
            rows = await queries.all_accounts(conn)
            steps = await queries.all_routes(conn)
        before, self._accounts = self._accounts, {row.id: self._same_or_new(row) for row in rows}
        for account in before.values():
            if self._accounts.get(account.id) is not account:
                self._retire(account)
        routes: dict[tuple[str, UUID | None], list[_Step]] = defaultdict(list)
        for step in steps:
            routes[step.channel, step.application_id].append(_Step(step.account_id, step.position, step.enabled))
        self._routes = dict(routes)

    async def close(self) -> None:
        """Close every account: the process ends."""
        accounts, self._accounts = list(self._accounts.values()), {}
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*(account.close(END_SECONDS) for account in accounts), return_exceptions=True)

    def get(self, account_id: UUID) -> OpenAccount:
        """The account, whether usable or not; raises NotFound."""
        account = self._accounts.get(account_id)
        if account is None:
            raise NotFound("provider account", account_id)
        return account

    def has(self, account_id: UUID) -> bool:
        """Whether there is such an account."""
        return account_id in self._accounts

    def all(self) -> list[OpenAccount]:
        """Every account, by key."""
        return sorted(self._accounts.values(), key=lambda account: account.key)

    def route(self, channel: str, application_id: UUID | None = None) -> list[UUID]:
        """The usable accounts of a channel in the order in which they are tried; the application's own route wins.

        The sandbox that `seed` puts at the end counts only while the channel has no other step at all, enabled or
        not: a vendor that is switched off must never look like one that delivers.
        """
        steps = self._routes.get((channel, application_id)) or self._routes.get((channel, None), [])
        chosen = [step for step in steps if step.position < FALLBACK_POSITION] or steps
        return [step.account_id for step in chosen if step.enabled and self._usable(step.account_id)]

    def sandbox(self, channel: str) -> UUID:
        """The sandbox account that `seed` made for this channel; raises NotFound."""
        return self.get(sandbox_account_id(channel)).id

    def _usable(self, account_id: UUID) -> bool:
        account = self._accounts.get(account_id)
        return account is not None and account.usable

    def _same_or_new(self, row: Any) -> OpenAccount:
        known = self._accounts.get(row.id)
        if known is not None and known.version == row.version:
            return known
        return open_account(row, self._db, self._registry, self._keyring, self.guard)

    def _retire(self, account: OpenAccount) -> None:
        task = asyncio.create_task(account.close(), name=f"close-account-{account.key}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def open_account(row: Any, db: Database, registry: Registry, keyring: Keyring, guard: Guard) -> OpenAccount:
    """The account of this row; whatever is wrong with it becomes its `problem`, never an error."""
    provider, problem, secrets = None, None, {}
    try:
        kind = _kind(registry, row)
        secrets = open_secrets(keyring, row.id, row.sealed)
        provider = _instance(kind, row, secrets)
    except (InvalidInput, NotFound, WrongKey) as error:
        problem = str(error)
    except Exception as error:
        problem = f"The plugin failed: {type(error).__name__}."
    texts = [text for text in secrets.values() if isinstance(text, str)]
    ctx = AccountContext(
        guard,
        Tokens(db, keyring, row.id),
        AccountLog(row.provider, row.key, texts),
        connections=row.concurrency,
        deadline=row.timeout_seconds,
    )
    if problem is not None:
        log.error("the provider account %s cannot be used: %s", row.key, ctx.log.redact(problem))
    return OpenAccount(row, provider, ctx, problem)


def _kind(registry: Registry, row: Any) -> type[Provider]:
    kind = registry.providers.get(row.provider)
    if kind is None:
        raise NotFound("enabled plugin with the provider", row.provider)
    if row.settings_version > kind.settings_version:
        text = f"written by version {row.settings_version} of the plugin; version {kind.settings_version} is installed"
        raise InvalidInput({"settings": text})
    return kind


def _instance(kind: type[Provider], row: Any, secrets: Mapping[str, Any]) -> Provider:
    values = {**row.settings, **secrets}
    if row.settings_version < kind.settings_version:
        values = kind.upgrade(values, row.settings_version)
    return kind(read(kind.settings_type, values))


def open_secrets(keyring: Keyring, account_id: UUID, sealed: bytes | None) -> dict[str, Any]:
    """The secret fields of an account; raises WrongKey."""
    if not sealed:
        return {}
    opened = keyring.open(sealed, table=TABLE, row=str(account_id), field=FIELD)
    secrets: dict[str, Any] = msgspec.json.decode(opened)
    return secrets


def seal_secrets(keyring: Keyring, account_id: UUID, secrets: Mapping[str, Any]) -> bytes | None:
    """The secret fields as they are stored."""
    if not secrets:
        return None
    return keyring.seal(msgspec.json.encode(dict(secrets)), table=TABLE, row=str(account_id), field=FIELD)


def secret_fields(kind: type[Provider] | None) -> frozenset[str]:
    """The names of a provider's secret fields; none for a provider that is not there."""
    return frozenset() if kind is None else secret_names(kind.settings_type)
