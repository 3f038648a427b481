"""Vendor tokens that all processes share."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, update

from portal.db import Database, db_now
from portal.providers.models import VendorToken
from portal.providers.tokens import Tokens
from portal.sealing import Keyring
from tests.integration.providers.world import KEY, World


class Vendor:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()

    async def fetch(self) -> str:
        self.asked += 1
        await self.go.wait()
        return f"token-{self.asked}"


async def processes(db: Database, n: int = 3) -> list[Tokens]:
    account_id = await World(db).account("acme")
    return [Tokens(db, Keyring([KEY]), account_id) for _ in range(n)]


async def test_of_many_callers_in_many_processes_one_fetches(db: Database) -> None:
    vendor, tokens = Vendor(), await processes(db)
    vendor.go.clear()
    waiting = [asyncio.create_task(each.get("access", vendor.fetch, 60)) for each in tokens for _ in range(5)]
    while not vendor.asked:
        await asyncio.sleep(0.01)
    vendor.go.set()
    assert set(await asyncio.gather(*waiting)) == {"token-1"}
    assert vendor.asked == 1


async def test_a_value_is_sealed(db: Database) -> None:
    vendor, tokens = Vendor(), await processes(db, 1)
    await tokens[0].get("access", vendor.fetch, 60)
    async with db.read() as conn:
        stored = (await conn.execute(select(VendorToken.sealed))).scalar()
    assert b"token-1" not in bytes(stored or b"token-1")


async def test_an_expired_value_is_fetched_anew(db: Database) -> None:
    vendor, tokens = Vendor(), await processes(db, 2)
    await tokens[0].get("access", vendor.fetch, 60)
    async with db.write() as conn:
        await conn.execute(update(VendorToken).values(expires_at=db_now(-1)))
    assert await tokens[1].get("access", vendor.fetch, 60) == "token-2"


async def test_a_refused_value_is_dropped_once(db: Database) -> None:
    vendor, tokens = Vendor(), await processes(db, 2)
    value = await tokens[0].get("access", vendor.fetch, 60)
    await tokens[0].forget("access", value)
    assert await tokens[0].get("access", vendor.fetch, 60) == "token-2"
    # The other process heard of the refusal late: the new value stays.
    await tokens[1].forget("access", value)
    assert await tokens[1].get("access", vendor.fetch, 60) == "token-2"


async def test_a_fetch_that_fails_leaves_the_turn_to_the_next(db: Database) -> None:
    vendor, tokens = Vendor(), await processes(db, 2)

    async def broken() -> str:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await tokens[0].get("access", broken, 60)
    assert await tokens[1].get("access", vendor.fetch, 60) == "token-1"


async def test_a_fetcher_that_died_loses_its_turn(db: Database) -> None:
    vendor, tokens = Vendor(), await processes(db, 2)

    async def dies() -> str:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await tokens[0].get("access", dies, 60)
    async with db.write() as conn:
        await conn.execute(update(VendorToken).values(fetching_until=db_now(0.3)))
    assert await tokens[1].get("access", vendor.fetch, 60) == "token-1"
