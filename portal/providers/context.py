"""What a provider gets of the portal: its way out, its log, its shared tokens, its outbox."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from msgspec import Struct

from portal.providers.egress import Guard
from portal.providers.http import GuardedClient, tls_context
from portal.providers.tokens import Tokens
from portal.sdk import Message

HIDDEN = "•••"
# Facts with these names carry content or credentials whatever their value is.
SENSITIVE = re.compile(
    r"secret|token|passw|auth|key|body|content|text|html|subject|part|address|recipient|phone|mail", re.IGNORECASE
)
# A shorter secret would blank out half of every line.
SHORTEST_SECRET = 4
MOST_KEPT = 20_000


class Kept(Struct, frozen=True):
    """A message that the sandbox kept, until the core stores it."""

    message: Message
    facts: dict[str, Any]
    at: datetime


class AccountLog:
    """Lines named after the account, with its secrets blanked and telling facts left out."""

    def __init__(self, provider: str, account: str, secrets: Iterable[str]) -> None:
        self._log = logging.getLogger(f"portal.plugins.{provider}")
        self._account = account
        self._secrets = sorted((text for text in secrets if len(text) >= SHORTEST_SECRET), key=len, reverse=True)

    def debug(self, event: str, **facts: Any) -> None:
        self._write(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: Any) -> None:
        self._write(logging.INFO, event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        self._write(logging.WARNING, event, facts)

    def error(self, event: str, **facts: Any) -> None:
        self._write(logging.ERROR, event, facts)

    def _write(self, level: int, event: str, facts: dict[str, Any]) -> None:
        if not self._log.isEnabledFor(level):
            return
        shown = [f"{name}={HIDDEN if SENSITIVE.search(name) else value!s:.200}" for name, value in facts.items()]
        line = self.redact(" ".join((f"account={self._account}", event, *shown)))
        self._log.log(level, "%s", line)

    def redact(self, text: str) -> str:
        """The text on one line, without any of the account's secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text)


class AccountContext:
    """The `Context` of one account in one process. `kept` is bounded: what nobody fetches is dropped, oldest first."""

    def __init__(self, guard: Guard, tokens: Tokens, log: AccountLog, *, connections: int, deadline: float) -> None:
        self.log = log
        self.kept: dict[str, Kept] = {}
        self._guard = guard
        self._tokens = tokens
        self._connections = connections
        self._deadline = deadline

    @cached_property
    def http(self) -> GuardedClient:
        return GuardedClient(self._guard, connections=self._connections, deadline=self._deadline)

    async def connect(
        self, host: str, port: int, tls: ssl.SSLContext | bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = tls if isinstance(tls, ssl.SSLContext) else tls_context() if tls else None
        return await self._guard.connect(host, port, context)

    async def socket(self, host: str, port: int) -> socket.socket:
        return await self._guard.socket(host, port)

    async def token(self, key: str, fetch: Callable[[], Awaitable[str]], ttl: float) -> str:
        return await self._tokens.get(key, fetch, ttl)

    async def forget_token(self, key: str, value: str) -> None:
        await self._tokens.forget(key, value)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def keep(self, message: Message, **facts: Any) -> None:
        if len(self.kept) >= MOST_KEPT:
            self.kept.pop(next(iter(self.kept)))
        self.kept[message.id] = Kept(message, facts, self.now())

    async def close(self) -> None:
        """End the connections, if there ever were any."""
        client = self.__dict__.get("http")
        if client is not None:
            await client.aclose()
