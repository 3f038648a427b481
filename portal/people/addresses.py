"""Add, change and remove addresses of a person; mark one dead when its channel says so."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from msgspec import UNSET
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, db_now
from portal.errors import Conflict
from portal.people.check import normalised
from portal.people.create import address_row
from portal.people.models import Address
from portal.people.queries import get_address, get_person
from portal.people.schemas import AddressIn, AddressPatch
from portal.people.update import touch
from portal.plugin_loader import Registry

_TAKEN = "The person has this address already."


async def add_address(db: Database, registry: Registry, actor: Actor, person_id: UUID, given: AddressIn) -> UUID:
    """Add an address; returns its id. Raises `NotFound`, `InvalidInput`, and `Conflict` for one the person has."""
    value = normalised(given.channel, given.value, registry)
    shown = registry.channels[given.channel].mask(value)
    try:
        return await db.transact(_add, actor, person_id, given, value, shown)
    except IntegrityError:
        raise Conflict(_TAKEN, code="address_exists") from None


async def _add(conn: AsyncConnection, actor: Actor, person_id: UUID, given: AddressIn, value: str, shown: str) -> UUID:
    person = await get_person(conn, person_id, lock=True)
    same = select(Address.id).where(
        Address.person_id == person.id, Address.channel == given.channel, Address.value == value
    )
    if (await conn.execute(same)).first() is not None:
        raise Conflict(_TAKEN, code="address_exists")
    if given.primary:
        await _no_primary(conn, person.id, given.channel)
    row = address_row(person.id, given.channel, value, primary=given.primary)
    verified_at = db_now() if given.verified else None
    await conn.execute(insert(Address).values(**row, verified_at=verified_at))
    await touch(conn, person)
    after = {"channel": given.channel, "value": shown, "primary": given.primary, "verified": given.verified}
    await record(conn, actor, "address.create", f"person/{person.id}", None, after)
    address_id: UUID = row["id"]
    return address_id


async def change_address(
    db: Database, registry: Registry, actor: Actor, person_id: UUID, address_id: UUID, change: AddressPatch
) -> None:
    """Change what `change` names; a new value is not verified unless it says so. Raises as `add_address`."""
    try:
        await db.transact(_change, registry, actor, person_id, address_id, change)
    except IntegrityError:
        raise Conflict(_TAKEN, code="address_exists") from None


async def _change(
    conn: AsyncConnection,
    registry: Registry,
    actor: Actor,
    person_id: UUID,
    address_id: UUID,
    change: AddressPatch,
) -> None:
    person = await get_person(conn, person_id, lock=True)
    row = await get_address(conn, person.id, address_id)
    values: dict[str, Any] = {}
    if change.value is not UNSET and (value := normalised(row.channel, change.value, registry)) != row.value:
        values |= {"value": value, "verified_at": None, "dead_at": None, "dead_reason": None}
    if change.verified is not UNSET:
        values["verified_at"] = db_now() if change.verified else None
    if change.dead is not UNSET:
        values |= {"dead_at": db_now(), "dead_reason": f"by {actor.name}"[:200]} if change.dead else _ALIVE
    if change.primary is not UNSET:
        if change.primary:
            await _no_primary(conn, person.id, row.channel)
        values["is_primary"] = change.primary
    if values:
        await conn.execute(update(Address).where(Address.id == row.id).values(**values))
    await touch(conn, person)
    await record(conn, actor, "address.update", f"person/{person.id}", None, {"changed": sorted(values)})


_ALIVE: dict[str, Any] = {"dead_at": None, "dead_reason": None}


async def remove_address(conn: AsyncConnection, actor: Actor, person_id: UUID, address_id: UUID) -> None:
    """Forget an address. Raises `NotFound`."""
    person = await get_person(conn, person_id, lock=True)
    row = await get_address(conn, person.id, address_id)
    await conn.execute(delete(Address).where(Address.id == row.id))
    await touch(conn, person)
    await record(conn, actor, "address.delete", f"person/{person.id}", {"channel": row.channel}, None)


async def mark_dead(conn: AsyncConnection, address_ids: Collection[UUID], reason: str) -> None:
    """Never use these addresses again: a vendor said that they do not exist (any more)."""
    dead = update(Address).where(Address.id.in_(list(address_ids)), Address.dead_at.is_(None))
    await conn.execute(dead.values(dead_at=db_now(), dead_reason=reason[:200]))


async def _no_primary(conn: AsyncConnection, person_id: UUID, channel: str) -> None:
    others = update(Address).where(Address.person_id == person_id, Address.channel == channel)
    await conn.execute(others.values(is_primary=False))
