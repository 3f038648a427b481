"""Create a person with addresses and ids in other systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, bulk, db_now, new_id
from portal.errors import Conflict, InvalidInput
from portal.people.check import check_external_ids, check_name, check_timezone, checked_addresses
from portal.people.models import Address, Person, PersonExternalId
from portal.people.queries import people_by_external
from portal.people.schemas import ExternalIdIn, PersonIn
from portal.plugin_loader import Registry


async def create_person(db: Database, registry: Registry, actor: Actor, given: PersonIn) -> UUID:
    """Store a new person with everything given; returns the id.

    Raises `InvalidInput` naming fields such as `addresses[0].value`, and `Conflict` when an id of another system
    belongs to somebody already.
    """
    problems: dict[str, str] = {}
    values = checked_addresses(given.addresses, registry, problems)
    check_external_ids(given.external_ids, problems)
    check_timezone(given.timezone, problems)
    check_name(given.name, problems)
    if problems:
        raise InvalidInput(problems)
    try:
        return await db.transact(_store, actor, given, values)
    except IntegrityError:
        raise _taken(given.external_ids) from None


async def _store(conn: AsyncConnection, actor: Actor, given: PersonIn, values: Sequence[str]) -> UUID:
    person_id = new_id()
    facts = {"name": given.name, "locale": given.locale, "timezone": given.timezone}
    await conn.execute(insert(Person).values(id=person_id, revision=1, **facts))
    await store_external_ids(conn, person_id, given.external_ids)
    primaries = {address.channel: position for position, address in enumerate(given.addresses) if address.primary}
    for position, (address, value) in enumerate(zip(given.addresses, values, strict=True)):
        # Of several marked as primary in one channel the last one is.
        row = address_row(person_id, address.channel, value, primary=primaries.get(address.channel) == position)
        row["verified_at"] = db_now() if address.verified else None
        await conn.execute(insert(Address).values(**row))
    after = facts | {"addresses": len(values), "external_ids": len(given.external_ids)}
    await record(conn, actor, "person.create", f"person/{person_id}", None, after)
    return person_id


def address_row(person_id: UUID, channel: str, value: str, *, primary: bool) -> dict[str, Any]:
    """A new row of the table of addresses."""
    return {"id": new_id(), "person_id": person_id, "channel": channel, "value": value, "is_primary": primary}


async def store_external_ids(conn: AsyncConnection, person_id: UUID, given: Sequence[ExternalIdIn]) -> None:
    """Give the person these ids; raises `Conflict` when one is somebody else's."""
    if not given:
        return
    if await people_by_external(conn, [(each.source, each.id) for each in given]):
        raise _taken(given)
    rows = [{"source": each.source, "value": each.id, "person_id": person_id} for each in given]
    await bulk.insert(conn, PersonExternalId, rows)


def _taken(given: Sequence[ExternalIdIn]) -> Conflict:
    named = ", ".join(f"{each.source}:{each.id}" for each in given)
    return Conflict(f"One of {named} belongs to another person already.", code="external_id_taken")
