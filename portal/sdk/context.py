"""What the core lends to a provider while it works."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

import httpx2

from portal.sdk.message import Message


class Log(Protocol):
    """A log that hides the account's secrets. `event` is a constant sentence; what varies goes into the facts."""

    def debug(self, event: str, **facts: Any) -> None: ...
    def info(self, event: str, **facts: Any) -> None: ...
    def warning(self, event: str, **facts: Any) -> None: ...
    def error(self, event: str, **facts: Any) -> None: ...


class Context(Protocol):
    """One account's way out of the process. Every connection goes through the portal's address guard."""

    @property
    def http(self) -> httpx2.AsyncClient:
        """The shared client: total deadline, answers up to 1 MB, no redirects, no proxies from the environment."""

    @property
    def log(self) -> Log:
        """Named after plugin and account; secrets and addresses are hidden in it."""

    async def connect(
        self, host: str, port: int, tls: ssl.SSLContext | bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A guarded TCP connection as streams; with `tls=True` verified against the system's certificates."""

    async def socket(self, host: str, port: int) -> socket.socket:
        """A guarded, connected, non-blocking socket for libraries that bring their own protocol."""

    async def token(self, key: str, fetch: Callable[[], Awaitable[str]], ttl: float) -> str:
        """A value shared by all processes for `ttl` seconds. Of many callers one runs `fetch`."""

    async def forget_token(self, key: str, value: str) -> None:
        """Drop a shared value that the vendor no longer takes, unless another has replaced it already."""

    def now(self) -> datetime:
        """The time, aware UTC."""

    def keep(self, message: Message, **facts: Any) -> None:
        """Hand the rendered message to the portal, which shows it in the sandbox outbox once the send is settled."""
