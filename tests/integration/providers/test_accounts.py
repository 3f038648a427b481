"""Accounts: made, changed, removed; their secrets never in sight."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from portal.access.actor import SYSTEM
from portal.audit.models import AuditEntry
from portal.db import Database, new_id
from portal.errors import Conflict, InvalidInput, NotAllowed, NotFound, PreconditionFailed
from portal.providers import ProviderAccount, Route, queries
from portal.providers.accounts import open_secrets
from portal.providers.check import check_account
from portal.providers.form import MASK
from portal.providers.reseal import reseal
from portal.providers.schemas import AccountUpdate
from portal.providers.show import account_out
from portal.providers.update import remove_account, update_account
from portal.sealing import Keyring
from tests.integration.providers.world import KEY, OTHER_KEY, SECRET, World, smtp_settings


async def shown(world: World, account_id: UUID) -> dict[str, object]:
    async with world.db.read() as conn:
        return account_out(await queries.get_account(conn, account_id), world.registry, world.keyring).settings


async def secrets_of(world: World, account_id: UUID) -> dict[str, object]:
    async with world.db.read() as conn:
        row = await queries.get_account(conn, account_id)
    return open_secrets(world.keyring, account_id, row.sealed)


async def change(world: World, account_id: UUID, update: AccountUpdate, **options: int) -> None:
    await world.db.transact(update_account, SYSTEM, world.registry, world.keyring, account_id, update, **options)


async def dump(db: Database) -> str:
    """Everything that the database holds about accounts, as text."""
    async with db.read() as conn:
        rows = [*await queries.all_accounts(conn), *(await conn.execute(select(AuditEntry))).all()]
    return repr(rows)


async def test_a_secret_is_sealed_and_never_shown(db: Database) -> None:
    world = World(db)
    account_id = await world.account("mail", "smtp", settings=smtp_settings())
    assert SECRET not in await dump(db)
    assert (await shown(world, account_id))["password"] == MASK
    assert (await shown(world, account_id))["host"] == "mail.example.com"
    assert await secrets_of(world, account_id) == {"password": SECRET}


@pytest.mark.databases("sqlite")
async def test_a_secret_that_is_not_set_is_shown_as_empty(db: Database) -> None:
    world = World(db)
    account_id = await world.account("mail", "smtp", settings=smtp_settings(password=""))
    assert (await shown(world, account_id))["password"] == ""


@pytest.mark.databases("sqlite")
async def test_every_wrong_field_is_named(db: Database) -> None:
    world = World(db)
    with pytest.raises(InvalidInput) as wrong:
        await world.account(
            "mail", "smtp", settings={"port": "25", "tls": "maybe", "hots": "x", "sender": "a@example.com"}
        )
    assert set(wrong.value.fields) == {"settings.port", "settings.tls", "settings.hots", "settings.host"}
    with pytest.raises(InvalidInput) as wrong:
        await world.account("mail", "smtp", settings=smtp_settings(sender="nobody"))
    assert set(wrong.value.fields) == {"settings.sender"}
    with pytest.raises(InvalidInput) as wrong:
        await world.account("Not a key", "telepathy", channel="mind")
    assert set(wrong.value.fields) == {"key", "provider", "channel"}
    with pytest.raises(InvalidInput) as wrong:
        await world.account("mail", "smtp", channel="sms", settings=smtp_settings())
    assert set(wrong.value.fields) == {"provider"}
    with pytest.raises(InvalidInput):
        await world.account("sandbox-email")


async def test_a_key_is_used_once(db: Database) -> None:
    world = World(db)
    await world.account("mail")
    with pytest.raises(Conflict):
        await world.account("mail")


@pytest.mark.databases("sqlite")
async def test_who_may_not_does_not(db: Database) -> None:
    world = World(db)
    account_id = await world.account("mail")
    nobody = type(SYSTEM)(kind="user", id=new_id(), name="Dave", permissions=frozenset({"providers:read"}))
    with pytest.raises(NotAllowed):
        await db.transact(remove_account, nobody, account_id)


async def test_a_change_keeps_the_secrets_that_are_not_given(db: Database) -> None:
    world = World(db)
    account_id = await world.account("mail", "smtp", settings=smtp_settings())
    await change(world, account_id, AccountUpdate(settings={"host": "new.example.com"}, title="New"))
    await change(world, account_id, AccountUpdate(settings={"password": MASK, "port": 465, "tls": "tls"}))
    await change(world, account_id, AccountUpdate(settings={"password": None}, enabled=False))
    assert await secrets_of(world, account_id) == {"password": SECRET}
    settings = await shown(world, account_id)
    assert (settings["host"], settings["port"]) == ("new.example.com", 465)
    await change(world, account_id, AccountUpdate(settings={"password": "another"}))
    assert await secrets_of(world, account_id) == {"password": "another"}
    await change(world, account_id, AccountUpdate(settings={"password": ""}))
    assert await secrets_of(world, account_id) == {}
    assert SECRET not in await dump(db)


async def test_two_changes_from_one_reading_are_noticed(db: Database) -> None:
    world = World(db)
    account_id = await world.account("mail")
    await change(world, account_id, AccountUpdate(title="First"), if_version=1)
    with pytest.raises(PreconditionFailed):
        await change(world, account_id, AccountUpdate(title="Second"), if_version=1)


async def test_removing_takes_the_routes_along(db: Database) -> None:
    world = World(db)
    account_id = await world.account("mail")
    await world.step(account_id)
    await db.transact(remove_account, SYSTEM, account_id)
    async with db.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(Route))).scalar() == 0
        with pytest.raises(NotFound):
            await queries.get_account(conn, account_id)


@pytest.mark.databases("sqlite")
async def test_each_change_is_audited_without_a_secret(db: Database) -> None:
    world = World(db)
    account_id = await world.account("mail", "smtp", settings=smtp_settings())
    await change(world, account_id, AccountUpdate(settings={"password": SECRET + "2"}))
    await db.transact(remove_account, SYSTEM, account_id)
    async with db.read() as conn:
        entries = (await conn.execute(select(AuditEntry).order_by(AuditEntry.__table__.c.id))).all()
    assert [entry.action for entry in entries] == [
        f"provider_account.{verb}" for verb in ("create", "update", "remove")
    ]
    assert SECRET not in json.dumps([[entry.before, entry.after] for entry in entries])


@pytest.mark.databases("sqlite")
async def test_sealing_again_after_a_rotation(db: Database) -> None:
    world = World(db)
    account_id = await world.account("mail", "smtp", settings=smtp_settings())
    rotated = Keyring([OTHER_KEY, KEY])
    assert await db.transact(reseal, rotated) == 1
    assert await db.transact(reseal, rotated) == 0
    world.keyring = Keyring([OTHER_KEY])
    assert await secrets_of(world, account_id) == {"password": SECRET}


@pytest.mark.databases("sqlite")
async def test_a_sealed_secret_does_not_open_in_another_row(db: Database) -> None:
    world = World(db)
    first = await world.account("one", "smtp", settings=smtp_settings())
    second = await world.account("two", "smtp", settings=smtp_settings(password="other"))
    async with db.write() as conn:
        stolen = (await queries.get_account(conn, first)).sealed
        await conn.execute(ProviderAccount.__table__.update().where(text("1=1")).values(sealed=stolen))
    await world.accounts.load()
    assert world.accounts.get(first).problem is None
    assert "another row" in str(world.accounts.get(second).problem)
    assert not world.accounts.get(second).usable


@pytest.mark.databases("sqlite")
async def test_the_check_says_what_it_found(db: Database) -> None:
    world = World(db)
    sandbox, smtp = (
        await world.account("box"),
        await world.account("mail", "smtp", settings=smtp_settings(host="127.0.0.1", port=9)),
    )
    async with db.read() as conn:
        rows = [await queries.get_account(conn, account_id) for account_id in (sandbox, smtp)]
    found = [await check_account(row, db, world.registry, world.keyring, world.accounts.guard) for row in rows]
    assert [result.ok for result in found] == [True, False]
    assert "127.0.0.1:9" in found[1].message
    assert SECRET not in found[1].message
