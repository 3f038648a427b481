"""API keys in process memory, so that authenticating a request costs one hash and one dictionary look-up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from sqlalchemy import bindparam, or_, update

from portal.access.actor import Actor
from portal.access.api_keys import digest
from portal.access.models import ApiKey
from portal.access.queries import AnyRow, keys_by_digest, keys_in_use
from portal.db import Database, Revisions, UtcDateTime
from portal.errors import Unavailable

# A key nobody knows is not asked for again this long (seconds); at most this many are remembered.
UNKNOWN_SECONDS = 1.0
UNKNOWN_AT_MOST = 10_000
# Digests that one query asks for; more wait for the next.
ASKED_AT_ONCE = 500

SAVE_USE_SECONDS = 60.0

log = logging.getLogger(__name__)


class ApiKeyEntry(Struct, frozen=True, kw_only=True):
    """A key in use, with what its application allows. Rates are requests per second, None: the general limit."""

    id: UUID
    name: str
    mode: Literal["live", "test"]
    scopes: frozenset[str]
    rate_per_second: float | None
    expires_at: float
    application_id: UUID
    application_key: str
    application_rate: float | None
    trial: bool
    guest_list: frozenset[str]
    actor: Actor


class KeyCache:
    """The keys in use, reloaded whenever one changes.

    `find` answers from memory. A key it does not know may have been created a moment ago by another process: `look_up`
    asks the database, once for all who ask at the same time, and remembers for a second that there is none.
    """

    def __init__(self, db: Database, revisions: Revisions) -> None:
        self._db = db
        self._revisions = revisions
        self._entries: dict[str, ApiKeyEntry] = {}
        self._unknown: dict[str, float] = {}
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._used: dict[UUID, float] = {}
        revisions.on_change("keys", self.load)

    async def load(self) -> None:
        """Read every key in use."""
        async with self._db.read() as conn:
            rows = await keys_in_use(conn)
        self._entries = {row.sha256: _entry(row) for row in rows}

    def find(self, token: str) -> ApiKeyEntry | None:
        """The key with this clear text if this process knows it and it has not expired.

        Raises `Unavailable` when revocations could not be read for a second: a key might be revoked by now.
        """
        if not self._revisions.fresh:
            raise Unavailable("API keys cannot be checked now, because the database does not answer.")
        entry = self._entries.get(digest(token))
        if entry is None:
            return None
        now = time.time()
        if entry.expires_at <= now:
            return None
        self._used[entry.id] = now
        return entry

    async def look_up(self, token: str) -> ApiKeyEntry | None:
        """As `find`, asking the database when this process does not know the key."""
        entry = self.find(token)
        if entry is not None or not token.startswith(("pp_live_", "pp_test_")):
            return entry
        sha256 = digest(token)
        if sha256 in self._entries or self._unknown.get(sha256, 0.0) > time.monotonic():
            return None
        await self._ask(sha256)
        return self.find(token)

    async def save_use(self) -> None:
        """Write when keys were last used, since the last time this was called; meant for once a minute."""
        used, self._used = self._used, {}
        if not used:
            return
        at = bindparam("at", type_=UtcDateTime())
        statement = update(ApiKey).where(
            ApiKey.id == bindparam("key"), or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < at)
        )
        rows = [{"key": key, "at": datetime.fromtimestamp(seen, UTC)} for key, seen in sorted(used.items())]
        async with self._db.write() as conn:
            await conn.execute(statement.values(last_used_at=at), rows)

    async def _ask(self, sha256: str) -> None:
        waiting = self._asked.get(sha256)
        if waiting is None:
            waiting = self._asked[sha256] = asyncio.get_running_loop().create_future()
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_all(), name="api-keys")
        # One who gives up must not take the answer from the others.
        await asyncio.shield(waiting)

    async def _ask_all(self) -> None:
        """Ask for whatever is waiting, one query at a time, until nothing waits."""
        while self._asked:
            batch = dict(list(self._asked.items())[:ASKED_AT_ONCE])
            error: BaseException | None = None
            try:
                async with self._db.read() as conn:
                    self._remember(batch, await keys_by_digest(conn, batch))
            except Exception as caught:  # whoever waits gets the error; the next one asks again
                error = caught
            for sha256, waiting in batch.items():
                del self._asked[sha256]
                if waiting.done():
                    continue
                if error is None:
                    waiting.set_result(None)
                else:
                    waiting.set_exception(error)

    def _remember(self, asked: Iterable[str], rows: Iterable[AnyRow]) -> None:
        found = {row.sha256: _entry(row) for row in rows}
        self._entries.update(found)
        if len(self._unknown) > UNKNOWN_AT_MOST:
            self._unknown.clear()
        until = time.monotonic() + UNKNOWN_SECONDS
        self._unknown.update({sha256: until for sha256 in asked if sha256 not in found})


@asynccontextmanager
async def saving_use(keys: KeyCache) -> AsyncIterator[None]:
    """While the block runs, write once a minute when keys were last used, and once more at its end."""
    stop = asyncio.Event()
    task = asyncio.create_task(_save_use_until(keys, stop), name="key-use")
    try:
        yield
    finally:
        # Not by cancelling, which could come in the middle of a transaction.
        stop.set()
        await task


async def _save_use_until(keys: KeyCache, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            async with asyncio.timeout(SAVE_USE_SECONDS):
                await stop.wait()
        except TimeoutError:
            pass
        try:
            await keys.save_use()
        except Exception as error:  # only a display depends on it; the next minute tries again
            log.warning("the last use of API keys was not saved: %s", type(error).__name__)


def _entry(row: AnyRow) -> ApiKeyEntry:
    scopes = frozenset(row.scopes)
    actor = Actor(
        kind="key", id=row.id, name=row.name, permissions=scopes, application_id=row.application_id, mode=row.mode
    )
    return ApiKeyEntry(
        id=row.id,
        name=row.name,
        mode=row.mode,
        scopes=scopes,
        rate_per_second=row.rate_per_second,
        expires_at=row.expires_at.timestamp() if row.expires_at else float("inf"),
        application_id=row.application_id,
        application_key=row.application_key,
        application_rate=row.application_rate,
        trial=bool(row.trial),
        guest_list=frozenset(row.guest_list or ()),
        actor=actor,
    )
