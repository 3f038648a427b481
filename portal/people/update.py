"""Change a person, or take one out of use."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import UNSET
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, db_now
from portal.errors import Conflict, InvalidInput, PreconditionFailed
from portal.people.check import check_external_ids, check_name, check_timezone
from portal.people.create import store_external_ids
from portal.people.models import Address, Membership, Person, PersonExternalId
from portal.people.queries import AnyRow, get_person
from portal.people.schemas import PersonPatch


async def update_person(
    db: Database, actor: Actor, person_id: UUID, change: PersonPatch, *, if_match: int | None = None
) -> None:
    """Change what `change` names. Raises `NotFound`, `InvalidInput`, `Conflict` and `PreconditionFailed`."""
    problems: dict[str, str] = {}
    check_timezone(change.timezone, problems)
    check_name(change.name, problems)
    if change.external_ids is not UNSET:
        check_external_ids(change.external_ids, problems)
    if problems:
        raise InvalidInput(problems)
    try:
        await db.transact(_store, actor, person_id, change, if_match)
    except IntegrityError:
        raise Conflict("One of the ids belongs to another person already.", code="external_id_taken") from None


async def _store(
    conn: AsyncConnection, actor: Actor, person_id: UUID, change: PersonPatch, if_match: int | None
) -> None:
    row = await get_person(conn, person_id, lock=True)
    check_revision(row, if_match)
    names = ("name", "locale", "timezone")
    values: dict[str, Any] = {name: value for name in names if (value := getattr(change, name)) is not UNSET}
    if change.external_ids is not UNSET:
        await conn.execute(delete(PersonExternalId).where(PersonExternalId.person_id == row.id))
        await store_external_ids(conn, row.id, change.external_ids)
    await touch(conn, row, **values)
    before = {name: getattr(row, name) for name in values}
    await record(conn, actor, "person.update", f"person/{row.id}", before, values)


async def archive_person(conn: AsyncConnection, actor: Actor, person_id: UUID, *, if_match: int | None = None) -> None:
    """Erase what is known of a person; the id stays, so that old notifications do not point at somebody else.

    Raises `NotFound` and `PreconditionFailed`.
    """
    row = await get_person(conn, person_id, lock=True)
    check_revision(row, if_match)
    for table in (Address, PersonExternalId, Membership):
        await conn.execute(delete(table).where(table.person_id == row.id))
    await touch(conn, row, name="", locale=None, timezone=None, archived_at=db_now())
    await record(conn, actor, "person.delete", f"person/{row.id}", None, None)


async def touch(conn: AsyncConnection, row: AnyRow, **values: Any) -> None:
    """Write values of a person and raise its revision."""
    raised = {"revision": row.revision + 1, "updated_at": db_now(), **values}
    await conn.execute(update(Person).where(Person.id == row.id).values(**raised))


def check_revision(row: AnyRow, if_match: int | None) -> None:
    """Raise `PreconditionFailed` when the caller saw another revision of the person."""
    if if_match is not None and row.revision != if_match:
        raise PreconditionFailed(
            f"The person has the revision {row.revision}, not {if_match}: somebody changed it meanwhile."
        )
