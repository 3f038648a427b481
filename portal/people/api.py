"""The JSON API of people, their addresses and groups."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, Router, delete, get, patch, post, put
from litestar.params import FromPath, FromQuery

from portal.access import Actor
from portal.db import Database
from portal.errors import InvalidInput
from portal.people.addresses import add_address, change_address, remove_address
from portal.people.create import create_person
from portal.people.groups import (
    add_members,
    create_group,
    delete_group,
    remove_members,
    rename_group,
    replace_members,
)
from portal.people.queries import (
    all_addresses,
    external_ids_of,
    get_address,
    get_group,
    get_person,
    list_groups,
    list_people,
)
from portal.people.schemas import (
    AddressIn,
    AddressOut,
    AddressPatch,
    GroupIn,
    GroupList,
    GroupOut,
    GroupPatch,
    MembersIn,
    PersonIn,
    PersonList,
    PersonOut,
    PersonPatch,
    address_out,
    group_out,
    person_out,
)
from portal.people.update import archive_person, update_person
from portal.plugin_loader import Registry
from portal.web.guards import require
from portal.web.if_match import IfMatch, etag, revision_of
from portal.web.paging import MAX_PAGE_SIZE, PAGE_SIZE, decode_cursor, page_of

READ: dict[str, Any] = {"guards": [require("people:read")], "opt": {"permission": "people:read"}}
WRITE: dict[str, Any] = {"guards": [require("people:write")], "opt": {"permission": "people:write"}}


@post("/people", summary="Create a person", **WRITE)
async def create(data: PersonIn, db: Database, registry: Registry, actor: Actor) -> Response[PersonOut]:
    return await _shown(db, await create_person(db, registry, actor, data), status=201)


@get("/people", summary="List people", **READ)
async def listed(
    db: Database,
    registry: Registry,
    search: FromQuery[str] = "",
    source: FromQuery[str] = "",
    external_id: FromQuery[str] = "",
    channel: FromQuery[str] = "",
    address: FromQuery[str] = "",
    group_id: FromQuery[UUID | None] = None,
    limit: FromQuery[int] = PAGE_SIZE,
    cursor: FromQuery[str | None] = None,
) -> PersonList:
    wanted = {
        "search": search,
        "external": _external(source, external_id),
        "address": _address(channel, address, registry),
        "group_id": group_id,
    }
    return await _people_page(db, limit, cursor, **wanted)


@get("/people/{person_id:uuid}", summary="Get a person", **READ)
async def one(person_id: FromPath[UUID], db: Database) -> Response[PersonOut]:
    return await _shown(db, person_id)


@patch("/people/{person_id:uuid}", summary="Change a person", **WRITE)
async def change(
    person_id: FromPath[UUID], data: PersonPatch, db: Database, actor: Actor, if_match: IfMatch = None
) -> Response[PersonOut]:
    await update_person(db, actor, person_id, data, if_match=revision_of(if_match))
    return await _shown(db, person_id)


@delete("/people/{person_id:uuid}", summary="Delete a person", status_code=204, **WRITE)
async def remove(person_id: FromPath[UUID], db: Database, actor: Actor, if_match: IfMatch = None) -> None:
    await db.transact(archive_person, actor, person_id, if_match=revision_of(if_match))


@get("/people/{person_id:uuid}/addresses", summary="List a person's addresses", **READ)
async def addresses(person_id: FromPath[UUID], db: Database) -> list[AddressOut]:
    async with db.read() as conn:
        person = await get_person(conn, person_id)
        found = await all_addresses(conn, [person.id])
    return [address_out(row) for row in found.get(person.id, [])]


@post("/people/{person_id:uuid}/addresses", summary="Add an address", **WRITE)
async def address_added(
    person_id: FromPath[UUID], data: AddressIn, db: Database, registry: Registry, actor: Actor
) -> AddressOut:
    return await _address_shown(db, person_id, await add_address(db, registry, actor, person_id, data))


@patch(
    "/people/{person_id:uuid}/addresses/{address_id:uuid}",
    summary="Change an address",
    **WRITE,
)
async def address_changed(
    person_id: FromPath[UUID],
    address_id: FromPath[UUID],
    data: AddressPatch,
    db: Database,
    registry: Registry,
    actor: Actor,
) -> AddressOut:
    await change_address(db, registry, actor, person_id, address_id, data)
    return await _address_shown(db, person_id, address_id)


@delete(
    "/people/{person_id:uuid}/addresses/{address_id:uuid}",
    summary="Remove an address",
    status_code=204,
    **WRITE,
)
async def address_removed(person_id: FromPath[UUID], address_id: FromPath[UUID], db: Database, actor: Actor) -> None:
    await db.transact(remove_address, actor, person_id, address_id)


@post("/groups", summary="Create a group", **WRITE)
async def group_created(data: GroupIn, db: Database, actor: Actor) -> GroupOut:
    return await _group_shown(db, await create_group(db, actor, data))


@get("/groups", summary="List groups", **READ)
async def groups(db: Database, limit: FromQuery[int] = PAGE_SIZE, cursor: FromQuery[str | None] = None) -> GroupList:
    size = min(max(limit, 1), MAX_PAGE_SIZE)
    after = decode_cursor(cursor)
    async with db.read() as conn:
        rows = await list_groups(conn, limit=size + 1, before=(after.at, after.id) if after else None)
    page = page_of(rows, size)
    return GroupList([group_out(row) for row in page.rows], page.next)


@get("/groups/{group_id:uuid}", summary="Get a group", **READ)
async def group(group_id: FromPath[UUID], db: Database) -> GroupOut:
    return await _group_shown(db, group_id)


@patch("/groups/{group_id:uuid}", summary="Change a group", **WRITE)
async def group_changed(group_id: FromPath[UUID], data: GroupPatch, db: Database, actor: Actor) -> GroupOut:
    await db.transact(rename_group, actor, group_id, data)
    return await _group_shown(db, group_id)


@delete("/groups/{group_id:uuid}", summary="Delete a group", status_code=204, **WRITE)
async def group_removed(group_id: FromPath[UUID], db: Database, actor: Actor) -> None:
    await db.transact(delete_group, actor, group_id)


@get("/groups/{group_id:uuid}/members", summary="List the members of a group", **READ)
async def members(
    group_id: FromPath[UUID],
    db: Database,
    limit: FromQuery[int] = PAGE_SIZE,
    cursor: FromQuery[str | None] = None,
) -> PersonList:
    async with db.read() as conn:
        await get_group(conn, group_id)
    return await _people_page(db, limit, cursor, group_id=group_id)


@post(
    "/groups/{group_id:uuid}/members",
    summary="Add members",
    status_code=200,
    **WRITE,
)
async def members_added(group_id: FromPath[UUID], data: MembersIn, db: Database, actor: Actor) -> GroupOut:
    await db.transact(add_members, actor, group_id, data.person_ids)
    return await _group_shown(db, group_id)


@put("/groups/{group_id:uuid}/members", summary="Replace the members", **WRITE)
async def members_replaced(group_id: FromPath[UUID], data: MembersIn, db: Database, actor: Actor) -> GroupOut:
    await db.transact(replace_members, actor, group_id, data.person_ids)
    return await _group_shown(db, group_id)


@delete(
    "/groups/{group_id:uuid}/members/{person_id:uuid}",
    summary="Remove a member",
    status_code=204,
    **WRITE,
)
async def member_removed(group_id: FromPath[UUID], person_id: FromPath[UUID], db: Database, actor: Actor) -> None:
    await db.transact(remove_members, actor, group_id, [person_id])


async def _people_page(db: Database, limit: int, cursor: str | None, **wanted: Any) -> PersonList:
    size = min(max(limit, 1), MAX_PAGE_SIZE)
    after = decode_cursor(cursor)
    async with db.read() as conn:
        before = (after.at, after.id) if after else None
        page = page_of(await list_people(conn, limit=size + 1, before=before, **wanted), size)
        ids = [row.id for row in page.rows]
        addresses, external_ids = await all_addresses(conn, ids), await external_ids_of(conn, ids)
    items = [person_out(row, addresses.get(row.id, []), external_ids.get(row.id, [])) for row in page.rows]
    return PersonList(items, page.next)


async def _shown(db: Database, person_id: UUID, *, status: int = 200) -> Response[PersonOut]:
    async with db.read() as conn:
        row = await get_person(conn, person_id)
        addresses = await all_addresses(conn, [row.id])
        external_ids = await external_ids_of(conn, [row.id])
    shown = person_out(row, addresses.get(row.id, []), external_ids.get(row.id, []))
    return Response(shown, status_code=status, headers=etag(row.revision))


async def _address_shown(db: Database, person_id: UUID, address_id: UUID) -> AddressOut:
    async with db.read() as conn:
        person = await get_person(conn, person_id)
        return address_out(await get_address(conn, person.id, address_id))


async def _group_shown(db: Database, group_id: UUID) -> GroupOut:
    async with db.read() as conn:
        return group_out(await get_group(conn, group_id))


def _external(source: str, value: str) -> tuple[str, str] | None:
    if not source and not value:
        return None
    if not source or not value:
        raise InvalidInput({"source" if value else "external_id": "source and external_id go together"})
    return source, value


def _address(channel: str, value: str, registry: Registry) -> tuple[str, str] | None:
    """An address to look for, in the form in which it is stored."""
    if not value:
        return None
    adapter = registry.channels.get(channel)
    if adapter is None:
        return channel, value.strip()
    try:
        return channel, adapter.normalise(value)
    except ValueError as error:
        raise InvalidInput({"address": str(error)}) from None


api_router = Router(
    path="/",
    route_handlers=[
        create,
        listed,
        one,
        change,
        remove,
        addresses,
        address_added,
        address_changed,
        address_removed,
        group_created,
        groups,
        group,
        group_changed,
        group_removed,
        members,
        members_added,
        members_replaced,
        member_removed,
    ],
    tags=["People"],
)
