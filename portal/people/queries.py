"""Reads of people, set-based: the delivery asks for hundreds at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.errors import NotFound
from portal.people.models import Address, Group, Membership, Person, PersonExternalId

AnyRow = Row[*tuple[Any, ...]]
PERSON = Person.__table__
ADDRESS = Address.__table__
EXTERNAL = PersonExternalId.__table__
GROUP = Group.__table__
MEMBERSHIP = Membership.__table__
# A chain of merges longer than this is a mistake; whoever stands at its end is used.
MERGES_FOLLOWED = 10


class PersonRow(NamedTuple):
    """What planning a delivery needs of a person. `id` is that of the person merged into, where there was a merge."""

    id: UUID
    name: str
    locale: str | None
    timezone: str | None


class AddressRow(NamedTuple):
    """The address to use for one person and channel."""

    id: UUID
    person_id: UUID
    channel: str
    value: str
    verified_at: datetime | None


async def people_by_id(conn: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, PersonRow]:
    """Asked id → person; unknown and archived ones are absent, merged ones lead to whom they were merged into."""
    leads_to = {person_id: person_id for person_id in ids}
    found: dict[UUID, PersonRow] = {}
    wanted = set(leads_to)
    for _ in range(MERGES_FOLLOWED):
        if not wanted:
            break
        merged = await _read_people(conn, wanted, found)
        leads_to = {asked: merged.get(reached, reached) for asked, reached in leads_to.items()}
        wanted = set(merged.values()) - found.keys()
    return {asked: found[reached] for asked, reached in leads_to.items() if reached in found}


async def _read_people(conn: AsyncConnection, ids: set[UUID], found: dict[UUID, PersonRow]) -> dict[UUID, UUID]:
    """Add these people to `found`; those that were merged are returned with where they lead."""
    columns = (PERSON.c.id, PERSON.c.name, PERSON.c.locale, PERSON.c.timezone, PERSON.c.merged_into)
    statement = select(*columns).where(PERSON.c.id.in_(list(ids)), PERSON.c.archived_at.is_(None))
    merged: dict[UUID, UUID] = {}
    for row in await conn.execute(statement):
        if row.merged_into is None:
            found[row.id] = PersonRow(row.id, row.name, row.locale, row.timezone)
        else:
            merged[row.id] = row.merged_into
    return merged


async def people_by_external(
    conn: AsyncConnection, pairs: Collection[tuple[str, str]]
) -> dict[tuple[str, str], PersonRow]:
    """(source, id in that system) → person; unknown ones are absent, merges are followed."""
    if not pairs:
        return {}
    by_source: defaultdict[str, list[str]] = defaultdict(list)
    for source, value in pairs:
        by_source[source].append(value)
    # One IN per source lets every database use the key; lists of pairs do not on all of them.
    asked = or_(
        *(and_(EXTERNAL.c.source == source, EXTERNAL.c.value.in_(values)) for source, values in by_source.items())
    )
    rows = (await conn.execute(select(EXTERNAL.c.source, EXTERNAL.c.value, EXTERNAL.c.person_id).where(asked))).all()
    people = await people_by_id(conn, {row.person_id for row in rows})
    return {(row.source, row.value): people[row.person_id] for row in rows if row.person_id in people}


async def addresses_of(
    conn: AsyncConnection, person_ids: Collection[UUID], channels: Collection[str]
) -> dict[tuple[UUID, str], AddressRow]:
    """(person, channel) → the address to use: the primary one, else a verified one, else the newest. Never a dead one.

    `person_ids` are ids of people who were not merged (as `people_by_id` gives them).
    """
    if not person_ids or not channels:
        return {}
    columns = (ADDRESS.c.id, ADDRESS.c.person_id, ADDRESS.c.channel, ADDRESS.c.value, ADDRESS.c.verified_at)
    statement = select(*columns, ADDRESS.c.is_primary, ADDRESS.c.created_at).where(
        ADDRESS.c.person_id.in_(list(person_ids)), ADDRESS.c.channel.in_(list(channels)), ADDRESS.c.dead_at.is_(None)
    )
    best: dict[tuple[UUID, str], tuple[Any, AnyRow]] = {}
    for row in await conn.execute(statement):
        rank = (bool(row.is_primary), row.verified_at is not None, row.created_at, row.id)
        place = (row.person_id, row.channel)
        if place not in best or rank > best[place][0]:
            best[place] = (rank, row)
    return {place: AddressRow(*row[:5]) for place, (_, row) in best.items()}


# --- one person, for people to see and change -------------------------------------------------------------------------


async def get_person(conn: AsyncConnection, person_id: UUID, *, lock: bool = False) -> AnyRow:
    """One person, through merges; raises `NotFound`, also for an archived one."""
    reached = person_id
    for _ in range(MERGES_FOLLOWED):
        statement = select(PERSON).where(PERSON.c.id == reached, PERSON.c.archived_at.is_(None))
        row: AnyRow | None = (await conn.execute(statement.with_for_update() if lock else statement)).first()
        if row is None:
            break
        if row.merged_into is None:
            return row
        reached = row.merged_into
    raise NotFound("person", person_id)


async def list_people(
    conn: AsyncConnection,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    search: str = "",
    external: tuple[str, str] | None = None,
    address: tuple[str, str] | None = None,
    group_id: UUID | None = None,
) -> Sequence[AnyRow]:
    """People, newest first, at most `limit`; `before` is (created_at, id) of the last one of the page before.

    `external` is (source, id); `address` is (channel or "", value as stored); `search` is the beginning of a name.
    """
    statement = select(PERSON).where(PERSON.c.archived_at.is_(None), PERSON.c.merged_into.is_(None))
    if search:
        statement = statement.where(PERSON.c.name.istartswith(search, autoescape=True))
    if external is not None:
        source, value = external
        statement = statement.where(_has(EXTERNAL, EXTERNAL.c.source == source, EXTERNAL.c.value == value))
    if address is not None:
        channel, value = address
        conditions = [ADDRESS.c.value == value] + ([ADDRESS.c.channel == channel] if channel else [])
        statement = statement.where(_has(ADDRESS, *conditions))
    if group_id is not None:
        statement = statement.where(_has(MEMBERSHIP, MEMBERSHIP.c.group_id == group_id))
    rows: Sequence[AnyRow] = (await conn.execute(_page(statement, PERSON, limit, before))).all()
    return rows


def _has(table: Any, *conditions: Any) -> Any:
    return exists().where(table.c.person_id == PERSON.c.id, *conditions)


def _page(statement: Select[Any], table: Any, limit: int, before: tuple[datetime, UUID] | None) -> Select[Any]:
    if before is not None:
        at, last = before
        older = or_(table.c.created_at < at, and_(table.c.created_at == at, table.c.id < last))
        statement = statement.where(older)
    return statement.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit)


async def all_addresses(conn: AsyncConnection, person_ids: Collection[UUID]) -> dict[UUID, list[AnyRow]]:
    """Person → every address, dead ones too, the primary ones first."""
    order = (ADDRESS.c.channel, ADDRESS.c.is_primary.desc(), ADDRESS.c.created_at, ADDRESS.c.id)
    statement = select(ADDRESS).where(ADDRESS.c.person_id.in_(list(person_ids))).order_by(*order)
    return _by_person(await conn.execute(statement))


async def get_address(conn: AsyncConnection, person_id: UUID, address_id: UUID) -> AnyRow:
    """One address of one person; raises `NotFound`."""
    statement = select(ADDRESS).where(ADDRESS.c.id == address_id, ADDRESS.c.person_id == person_id)
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("address", address_id)
    return row


async def external_ids_of(conn: AsyncConnection, person_ids: Collection[UUID]) -> dict[UUID, list[AnyRow]]:
    """Person → ids in other systems."""
    statement = select(EXTERNAL).where(EXTERNAL.c.person_id.in_(list(person_ids)))
    return _by_person(await conn.execute(statement.order_by(EXTERNAL.c.source, EXTERNAL.c.value)))


def _by_person(rows: Iterable[Any]) -> dict[UUID, list[AnyRow]]:
    found: defaultdict[UUID, list[AnyRow]] = defaultdict(list)
    for row in rows:
        found[row.person_id].append(row)
    return found


# --- groups -----------------------------------------------------------------------------------------------------------


def _groups() -> Select[Any]:
    members = select(func.count()).where(MEMBERSHIP.c.group_id == GROUP.c.id).scalar_subquery()
    return select(GROUP, members.label("members"))


async def list_groups(
    conn: AsyncConnection, *, limit: int, before: tuple[datetime, UUID] | None = None
) -> Sequence[AnyRow]:
    """Groups with the number of their members, newest first, at most `limit`."""
    rows: Sequence[AnyRow] = (await conn.execute(_page(_groups(), GROUP, limit, before))).all()
    return rows


async def get_group(conn: AsyncConnection, group_id: UUID) -> AnyRow:
    """One group; raises `NotFound`."""
    row: AnyRow | None = (await conn.execute(_groups().where(GROUP.c.id == group_id))).first()
    if row is None:
        raise NotFound("group", group_id)
    return row


async def group_key_is_taken(conn: AsyncConnection, key: str) -> bool:
    """True when a group has this key."""
    return (await conn.execute(select(GROUP.c.id).where(GROUP.c.key == key))).first() is not None


async def members_of(conn: AsyncConnection, group_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    """Those of the ids that are in the group."""
    statement = select(MEMBERSHIP.c.person_id).where(
        MEMBERSHIP.c.group_id == group_id, MEMBERSHIP.c.person_id.in_(list(ids))
    )
    return set((await conn.execute(statement)).scalars())
