"""Routes, and the cache that every process keeps of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import delete

from portal.access.actor import SYSTEM
from portal.db import Database, new_id
from portal.errors import InvalidInput, NotFound
from portal.providers import ProviderAccount, Route, seed, send_one
from portal.providers.schemas import AccountUpdate, RouteUpdate
from portal.providers.seed import sandbox_account_id
from portal.providers.set_route import change_route, remove_route
from portal.providers.update import update_account
from portal.sdk import SendFailed
from portal.sdk.testing import sample_message
from tests.integration.providers.world import OTHER_KEY, World, smtp_settings


async def test_every_channel_has_a_sandbox_after_seeding(db: Database) -> None:
    world = await World(db).seeded()
    for channel in ("email", "sms", "webhook"):
        account_id = world.accounts.sandbox(channel)
        assert account_id == sandbox_account_id(channel)
        assert world.accounts.route(channel) == [account_id]
    await db.transact(seed, world.registry)
    await world.accounts.load()
    assert len(world.accounts.all()) == 3


async def test_two_processes_may_seed_at_once(db: Database) -> None:
    worlds = [World(db), World(db)]
    for world in worlds:
        await db.transact(seed, world.registry)
    await worlds[1].accounts.load()
    assert len(worlds[1].accounts.all()) == 3


@pytest.mark.databases("sqlite")
async def test_a_fallback_that_was_removed_stays_removed(db: Database) -> None:
    world = await World(db).seeded()
    async with db.write() as conn:
        await conn.execute(delete(Route))
    await world.seeded()
    assert world.accounts.route("email") == []
    assert world.accounts.sandbox("email")


async def test_accounts_are_tried_by_position(db: Database) -> None:
    world = await World(db).seeded()
    second, first = await world.account("second"), await world.account("first")
    await world.step(second, 20)
    await world.step(first, 10)
    await world.accounts.load()
    assert world.accounts.route("email") == [first, second]


async def test_a_vendor_that_is_switched_off_is_never_replaced_by_the_sandbox(db: Database) -> None:
    world = await World(db).seeded()
    account_id = await world.account("mail")
    step = await world.step(account_id)
    await db.transact(update_account, SYSTEM, world.registry, world.keyring, account_id, AccountUpdate(enabled=False))
    await world.accounts.load()
    assert world.accounts.route("email") == []
    await db.transact(remove_route, SYSTEM, step)
    await world.accounts.load()
    assert world.accounts.route("email") == [world.accounts.sandbox("email")]


async def test_an_application_may_have_its_own_route(db: Database) -> None:
    world = await World(db).seeded()
    everybody, own, application = await world.account("everybody"), await world.account("own"), new_id()
    await world.step(everybody)
    await world.step(own, application_id=application)
    await world.accounts.load()
    assert world.accounts.route("email") == [everybody]
    assert world.accounts.route("email", application) == [own]
    assert world.accounts.route("email", new_id()) == [everybody]


@pytest.mark.databases("sqlite")
async def test_a_step_can_be_moved_and_switched_off(db: Database) -> None:
    world = await World(db).seeded()
    one, two = await world.account("one"), await world.account("two")
    first = await world.step(one, 1)
    await world.step(two, 2)
    await db.transact(change_route, SYSTEM, first, RouteUpdate(position=3))
    await world.accounts.load()
    assert world.accounts.route("email") == [two, one]
    await db.transact(change_route, SYSTEM, first, RouteUpdate(enabled=False))
    await world.accounts.load()
    assert world.accounts.route("email") == [two]


@pytest.mark.databases("sqlite")
async def test_a_step_must_lead_to_an_account_of_its_channel(db: Database) -> None:
    world = await World(db).seeded()
    account_id = await world.account("mail")
    with pytest.raises(InvalidInput, match="account_id"):
        await world.step(account_id, channel="sms")
    with pytest.raises(InvalidInput, match="account_id"):
        await world.step(new_id())


async def test_the_cache_renews_itself_and_keeps_what_did_not_change(db: Database) -> None:
    world = await World(db).seeded()
    account_id = await world.account("mail")
    await world.revisions.poll()
    kept, changed = world.accounts.get(world.accounts.sandbox("sms")), world.accounts.get(account_id)
    given = AccountUpdate(settings={"latency_ms": 5}, concurrency=3)
    await db.transact(update_account, SYSTEM, world.registry, world.keyring, account_id, given)
    await world.revisions.poll()
    renewed = world.accounts.get(account_id)
    assert world.accounts.get(kept.id) is kept
    assert renewed is not changed
    assert (renewed.bulkhead.size, renewed.provider.settings.latency_ms) == (3, 5)
    await world.accounts.close()


@pytest.mark.databases("sqlite")
async def test_an_account_whose_plugin_is_off_is_on_no_route_and_says_why(db: Database) -> None:
    full = World(db)
    account_id = await full.account("mail", "smtp", settings=smtp_settings())
    await full.step(account_id)
    world = World(db, plugins=["sms", "sandbox"])
    await world.accounts.load()
    account = world.accounts.get(account_id)
    assert "smtp" in str(account.problem)
    assert world.accounts.route("email") == []
    with pytest.raises(SendFailed):
        _ = account.provider


@pytest.mark.databases("sqlite")
async def test_an_account_that_another_key_sealed_says_so(db: Database) -> None:
    account_id = await World(db).account("mail", "smtp", settings=smtp_settings())
    world = World(db, keys=[OTHER_KEY])
    await world.accounts.load()
    assert "PORTAL_SECRET_KEY" in str(world.accounts.get(account_id).problem)


@pytest.mark.databases("sqlite")
async def test_an_account_of_a_newer_plugin_is_not_guessed_at(db: Database) -> None:
    world = World(db)
    account_id = await world.account("box")
    async with db.write() as conn:
        await conn.execute(ProviderAccount.__table__.update().values(settings_version=99))
    await world.accounts.load()
    assert "99" in str(world.accounts.get(account_id).problem)


@pytest.mark.databases("sqlite")
async def test_an_account_that_is_not_there_is_not_found(db: Database) -> None:
    with pytest.raises(NotFound):
        World(db).accounts.get(new_id())


@pytest.mark.databases("sqlite")
async def test_a_replaced_account_is_closed_when_its_last_call_is_over(db: Database) -> None:
    world = await World(db).seeded()
    account_id = await world.account("mail")
    await world.accounts.load()
    old = world.accounts.get(account_id)
    closed: list[timedelta] = []

    async def close() -> None:
        closed.append(timedelta())

    await old.ready()
    old.provider.close = close  # type: ignore[method-assign]
    assert await old.bulkhead.acquire("low")
    await db.transact(update_account, SYSTEM, world.registry, world.keyring, account_id, AccountUpdate(title="New"))
    await world.accounts.load()
    await asyncio.sleep(0)
    assert closed == []
    old.bulkhead.release()
    while not closed:
        await asyncio.sleep(0.001)
    # Whoever still holds the old one learns that nothing was sent.
    failed = await send_one(old, sample_message(channel="email", address="a@example.com", parts={"text": "x"}))
    assert isinstance(failed, SendFailed)
    assert (failed.permanent, failed.ambiguous, failed.code) == (False, False, "account")
    await world.accounts.close()
    assert len(closed) == 1
