"""Values that a vendor gives for a while and that all processes share: fetched once, sealed in the database.

The row decides, so this works without Redis. Whoever raises `fetching_until` fetches; a fetcher that dies loses its turn
after FETCH_SECONDS.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import Database, bulk, db_now
from portal.providers.models import VendorToken
from portal.sdk import SendFailed
from portal.sealing import Keyring

FETCH_SECONDS = 15.0
LOOK_AGAIN_SECONDS = 0.1
TABLE, FIELD = "vendor_token", "sealed"


class Tokens:
    """The shared values of one account."""

    def __init__(self, db: Database, keyring: Keyring, account_id: UUID) -> None:
        self._db = db
        self._keyring = keyring
        self._account_id = account_id
        self._known: dict[str, tuple[str, float]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, key: str, fetch: Callable[[], Awaitable[str]], ttl: float) -> str:
        """The value of `key`, from memory, from the database, or fetched; raises what `fetch` raises."""
        value = self._remembered(key)
        if value is not None:
            return value
        async with self._locks[key]:
            return self._remembered(key) or await self._shared(key, fetch, ttl)

    async def forget(self, key: str, value: str) -> None:
        """The vendor refused this value. Nothing happens when a newer one has come already."""
        self._known.pop(key, None)
        async with self._locks[key]:
            stored = await self._stored(key)
            if stored is not None and stored[0] == value:
                await self._db.transact(_expire, self._account_id, key)

    def _remembered(self, key: str) -> str | None:
        value, until = self._known.get(key, ("", 0.0))
        return value if time.monotonic() < until else None

    async def _shared(self, key: str, fetch: Callable[[], Awaitable[str]], ttl: float) -> str:
        deadline = time.monotonic() + FETCH_SECONDS
        while time.monotonic() < deadline:
            stored = await self._stored(key)
            if stored is None and await self._db.transact(_claim, self._account_id, key):
                return await self._fetch(key, fetch, ttl)
            if stored is not None:
                # At most a second from memory, so that a value which another process dropped is soon dropped here.
                self._known[key] = (stored[0], time.monotonic() + min(stored[1], 1.0))
                return stored[0]
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        raise SendFailed("Another process did not fetch the vendor's token in time.")

    async def _fetch(self, key: str, fetch: Callable[[], Awaitable[str]], ttl: float) -> str:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                value = await fetch()
        except BaseException:
            await self._db.transact(_let_go, self._account_id, key)
            raise
        sealed = self._keyring.seal(value.encode(), table=TABLE, row=self._row(key), field=FIELD)
        await self._db.transact(_store, self._account_id, key, sealed, ttl)
        self._known[key] = (value, time.monotonic() + min(ttl, 1.0))
        return value

    async def _stored(self, key: str) -> tuple[str, float] | None:
        """The value and the seconds it has left, by the database's clock."""
        query = select(VendorToken.sealed, VendorToken.expires_at, db_now().label("now")).where(
            VendorToken.account_id == self._account_id,
            VendorToken.name == key,
            VendorToken.sealed.is_not(None),
            VendorToken.expires_at > db_now(),
        )
        async with self._db.read() as conn:
            row = (await conn.execute(query)).first()
        if row is None:
            return None
        value = self._keyring.open(row.sealed, table=TABLE, row=self._row(key), field=FIELD).decode()
        return value, (row.expires_at - row.now).total_seconds()

    def _row(self, key: str) -> str:
        return f"{self._account_id}/{key}"


async def _claim(conn: AsyncConnection, account_id: UUID, key: str) -> bool:
    await bulk.insert_ignore(conn, VendorToken, [{"account_id": account_id, "name": key}])
    free = or_(VendorToken.fetching_until.is_(None), VendorToken.fetching_until < db_now())
    stale = or_(VendorToken.expires_at.is_(None), VendorToken.expires_at <= db_now())
    result: CursorResult[tuple[()]] = await conn.execute(
        update(VendorToken)
        .where(VendorToken.account_id == account_id, VendorToken.name == key, free, stale)
        .values(fetching_until=db_now(FETCH_SECONDS))
    )
    return result.rowcount == 1


async def _store(conn: AsyncConnection, account_id: UUID, key: str, sealed: bytes, ttl: float) -> None:
    await conn.execute(
        update(VendorToken)
        .where(VendorToken.account_id == account_id, VendorToken.name == key)
        .values(sealed=sealed, expires_at=db_now(ttl), fetching_until=None)
    )


async def _let_go(conn: AsyncConnection, account_id: UUID, key: str) -> None:
    await conn.execute(
        update(VendorToken)
        .where(VendorToken.account_id == account_id, VendorToken.name == key)
        .values(fetching_until=None)
    )


async def _expire(conn: AsyncConnection, account_id: UUID, key: str) -> None:
    await conn.execute(
        update(VendorToken)
        .where(VendorToken.account_id == account_id, VendorToken.name == key)
        .values(expires_at=None, sealed=None)
    )
