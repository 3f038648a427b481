"""Create, rename and delete groups; add, remove and replace their members."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from msgspec import UNSET
from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, bulk, db_now, new_id
from portal.errors import Conflict, InvalidInput
from portal.people.models import Group, Membership
from portal.people.queries import get_group, group_key_is_taken, people_by_id
from portal.people.schemas import GroupIn, GroupPatch

LOCAL = "local"
# Ids in one IN list: well below what any database's driver binds in a statement.
IDS_AT_ONCE = 1_000


async def create_group(db: Database, actor: Actor, given: GroupIn) -> UUID:
    """Store a group with its first members; returns its id. Raises `Conflict` when the key is taken, `InvalidInput`."""
    try:
        return await db.transact(_create, actor, given)
    except IntegrityError:
        raise _taken(given.key) from None


async def _create(conn: AsyncConnection, actor: Actor, given: GroupIn) -> UUID:
    if await group_key_is_taken(conn, given.key):
        raise _taken(given.key)
    members = await _known(conn, given.person_ids)
    group_id = new_id()
    name = given.name or given.key
    await conn.execute(insert(Group).values(id=group_id, key=given.key, name=name))
    await _insert(conn, group_id, members)
    await record(conn, actor, "group.create", f"group/{given.key}", None, {"name": name, "members": len(members)})
    return group_id


async def rename_group(conn: AsyncConnection, actor: Actor, group_id: UUID, change: GroupPatch) -> None:
    """Change what `change` names. Raises `NotFound`."""
    group = await get_group(conn, group_id)
    if change.name is UNSET:
        return
    await conn.execute(update(Group).where(Group.id == group_id).values(name=change.name, updated_at=db_now()))
    await record(conn, actor, "group.update", f"group/{group.key}", {"name": group.name}, {"name": change.name})


async def delete_group(conn: AsyncConnection, actor: Actor, group_id: UUID) -> None:
    """Delete a group; its members stay people. Raises `NotFound`."""
    group = await get_group(conn, group_id)
    await conn.execute(delete(Membership).where(Membership.group_id == group_id))
    await conn.execute(delete(Group).where(Group.id == group_id))
    before = {"name": group.name, "members": group.members}
    await record(conn, actor, "group.delete", f"group/{group.key}", before, None)


async def add_members(conn: AsyncConnection, actor: Actor, group_id: UUID, person_ids: Sequence[UUID]) -> None:
    """Add people; those who are members already stay so. Raises `NotFound`, and `InvalidInput` for unknown people."""
    group = await get_group(conn, group_id)
    members = await _known(conn, person_ids)
    await _insert(conn, group_id, members)
    await record(conn, actor, "group.members", f"group/{group.key}", None, {"added": len(members)})


async def remove_members(conn: AsyncConnection, actor: Actor, group_id: UUID, person_ids: Sequence[UUID]) -> None:
    """Take people out; those who are not members do not matter. Raises `NotFound`."""
    group = await get_group(conn, group_id)
    for some in _slices(list(person_ids)):
        gone = delete(Membership).where(Membership.group_id == group_id, Membership.person_id.in_(some))
        await conn.execute(gone)
    await record(conn, actor, "group.members", f"group/{group.key}", None, {"removed": len(person_ids)})


async def replace_members(conn: AsyncConnection, actor: Actor, group_id: UUID, person_ids: Sequence[UUID]) -> None:
    """Make these people the local members; who came from a directory stays. Raises as `add_members`."""
    group = await get_group(conn, group_id)
    members = await _known(conn, person_ids)
    local = delete(Membership).where(Membership.group_id == group_id, Membership.source == LOCAL)
    await conn.execute(local)
    await _insert(conn, group_id, members)
    before, after = {"members": group.members}, {"members": len(members)}
    await record(conn, actor, "group.members", f"group/{group.key}", before, after)


async def _known(conn: AsyncConnection, person_ids: Sequence[UUID]) -> list[UUID]:
    """The ids after merges, each once; raises `InvalidInput` naming the first unknown ones."""
    found: dict[UUID, UUID] = {}
    for some in _slices(list(dict.fromkeys(person_ids))):
        found |= {asked: person.id for asked, person in (await people_by_id(conn, some)).items()}
    unknown = [position for position, asked in enumerate(person_ids) if asked not in found]
    if unknown:
        raise InvalidInput({f"person_ids[{position}]": "no such person" for position in unknown[:20]})
    return list(dict.fromkeys(found.values()))


def _slices(ids: list[UUID]) -> list[list[UUID]]:
    return [ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE)]


async def _insert(conn: AsyncConnection, group_id: UUID, members: Sequence[UUID]) -> None:
    rows = [{"group_id": group_id, "person_id": person_id, "source": LOCAL} for person_id in members]
    await bulk.insert_ignore(conn, Membership, rows)


def _taken(key: str) -> Conflict:
    return Conflict(f"There is a group {key} already.", code="group_exists")
