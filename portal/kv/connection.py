"""One Redis client per process, and whether it can be relied on now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Self
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from portal.kv.trouble import SENTENCES, classify

log = logging.getLogger("portal.kv")

CONNECT_SECONDS = 1.0
CALL_SECONDS = 1.0
CHECK_SECONDS = 1.0
BACKOFF_FIRST = 0.1
BACKOFF_LAST = 2.0
# Errors that a healthy server may give to one command: the connection is as good as before.
HARMLESS = frozenset({"contention", "error"})


class _Cancellable(AbstractConnection):
    """A connection whose write can be cancelled.

    redis-py writes under `asyncio.wait_for`, which costs a task per command and, until Python 3.12, swallows a
    cancellation that arrives as the write ends: a loop that should end would then go on for ever.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        limit, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(limit):
                await super().send_packed_command(command, check_health)
        except TimeoutError:
            raise RedisTimeoutError("Timeout writing to socket") from None
        finally:
            self.socket_timeout = limit


def _client(url: str) -> Redis:
    client: Redis = Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=CALL_SECONDS,
        # Our callers know better than the client whether a second try is safe.
        retry=Retry(NoBackoff(), 0),
    )
    pool = client.connection_pool
    pool.connection_class = type("CancellableConnection", (_Cancellable, pool.connection_class), {})
    return client


class Kv:
    """The client, and the flag `up`: true only while Redis accepts writes.

    Every call is bounded: 1 s to connect, 1 s for an answer. Whoever gets an error tells it to `note`; a task checks
    once a second by a small write (a ping would not see a full memory or disk), with jittered backoff while it fails.
    `trouble` is None or one word of `portal.kv.trouble`; each change writes one log line and calls the watchers.
    Without a URL the trouble is "unset" for ever and `client` is never connected.
    """

    def __init__(self, url: str | None) -> None:
        self.url = url or ""
        self.process = uuid4().hex[:12]
        self.client: Redis = _client(url or "redis://127.0.0.1:1")
        self.trouble: str | None = "down" if url else "unset"
        self._known = False
        self._since = time.monotonic()
        self._watchers: list[Callable[[], None]] = []
        self._hurry = asyncio.Event()
        self._checker: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """True while Redis answers and accepts writes."""
        return self.trouble is None

    @property
    def sentence(self) -> str:
        """The present trouble as a sentence for /ready and the operator's page."""
        return SENTENCES.get(self.trouble or "none", SENTENCES["error"])

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback` in the event loop after each change of `up`."""
        self._watchers.append(callback)

    async def start(self) -> Kv:
        """Check once, so that `up` is true as soon as Redis is, then go on checking in the background."""
        if self.url and self._checker is None:
            await self.check()
            self._checker = asyncio.create_task(self._keep_checking(), name="kv-check")
        return self

    async def close(self) -> None:
        """Stop checking and close all connections."""
        if self._checker is not None:
            self._checker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._checker
            self._checker = None
        with contextlib.suppress(RedisError, OSError):
            await self.client.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def note(self, error: BaseException) -> str:
        """A call failed with `error`: returns what that means and, unless it is harmless, takes Redis out of use."""
        trouble = classify(error)
        if trouble not in HARMLESS:
            self._change(trouble)
            self._hurry.set()
        return trouble

    async def check(self) -> bool:
        """Try a small write now; returns `up`."""
        try:
            await self.client.set("portal:check", self.process, px=60_000)
        except (RedisError, OSError, TimeoutError) as error:
            trouble = classify(error)
            self._change("error" if trouble == "contention" else trouble)
        else:
            self._change(None)
        return self.up

    async def _keep_checking(self) -> None:
        wait = BACKOFF_FIRST
        while True:
            if self.up:
                wait = BACKOFF_FIRST
                # Not wait_for: until Python 3.12 it can swallow a cancellation that comes with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_SECONDS):
                        await self._hurry.wait()
            if not self.up:
                await asyncio.sleep(random.uniform(wait / 2, wait))
                wait = min(wait * 2, BACKOFF_LAST)
            self._hurry.clear()
            await self.check()

    def _change(self, trouble: str | None) -> None:
        if trouble == self.trouble and self._known:
            return
        before, self.trouble = self.trouble, trouble
        seconds = time.monotonic() - self._since
        self._since = time.monotonic()
        if trouble is not None:
            log.error("redis trouble=%s: %s", trouble, self.sentence)
        elif self._known:
            log.warning("redis is back after %.1f s of trouble=%s", seconds, before)
        self._known = True
        for callback in self._watchers:
            callback()


def connect(url: str | None) -> Kv:
    """The process's `Kv`; call `start` inside the event loop before use."""
    return Kv(url)
