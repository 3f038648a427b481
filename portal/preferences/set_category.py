"""Create and change categories. Only an approver may mark one transactional: its bulk requests then need no approval."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, bump
from portal.errors import Conflict, NotFound
from portal.preferences.categories import CategoryEntry
from portal.preferences.models import Category

Key = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
DoubtPolicy = Literal["resend", "hold"]


class CategoryPut(Struct, forbid_unknown_fields=True, kw_only=True):
    """What shall change; everything left out stays.

    `required` ignores preferences and caps. `doubt_policy` says what a crash during a vendor call leads to: `resend`, or
    `hold` as unknown. `transactional` lets bulk requests pass without approval.
    """

    name: Name | UnsetType = UNSET
    required: bool | UnsetType = UNSET
    doubt_policy: DoubtPolicy | UnsetType = UNSET
    transactional: bool | UnsetType = UNSET


class CategoryIn(CategoryPut, forbid_unknown_fields=True, kw_only=True):
    """A new category."""

    key: Key
    name: Name


async def create_category(db: Database, actor: Actor, new: CategoryIn) -> CategoryEntry:
    """Make a category; raises `Conflict` when its key is taken, `NotAllowed` for what the actor may not decide."""
    values = _values(actor, new)
    return await db.transact(_create, actor, new.key, values)


async def set_category(db: Database, actor: Actor, key: str, change: CategoryPut) -> CategoryEntry:
    """Change a category; raises `NotFound`, and `NotAllowed` for what the actor may not decide."""
    values = _values(actor, change)
    return await db.transact(_set, actor, key, values)


def _values(actor: Actor, change: CategoryPut) -> dict[str, object]:
    names = ("name", "required", "doubt_policy", "transactional")
    values = {name: getattr(change, name) for name in names if getattr(change, name) is not UNSET}
    if "transactional" in values:
        actor.require("approve:write")
    if values.keys() - {"transactional"} or not values:
        actor.require("templates:write")
    return values


async def _create(conn: AsyncConnection, actor: Actor, key: str, values: dict[str, object]) -> CategoryEntry:
    if (await conn.execute(select(Category.key).where(Category.key == key))).first() is not None:
        raise Conflict(f"There is a category {key} already.")
    await conn.execute(insert(Category).values(key=key, **values))
    await record(conn, actor, "category.create", f"category/{key}", None, values)
    await bump(conn, "categories")
    return await _entry(conn, key)


async def _set(conn: AsyncConnection, actor: Actor, key: str, values: dict[str, object]) -> CategoryEntry:
    before = await _entry(conn, key)
    changed = {name: value for name, value in values.items() if getattr(before, name) != value}
    if not changed:
        return before
    await conn.execute(update(Category).where(Category.key == key).values(**changed))
    old = {name: getattr(before, name) for name in changed}
    await record(conn, actor, "category.change", f"category/{key}", old, changed)
    await bump(conn, "categories")
    return await _entry(conn, key)


async def _entry(conn: AsyncConnection, key: str) -> CategoryEntry:
    columns = (Category.key, Category.name, Category.required, Category.doubt_policy, Category.transactional)
    row = (await conn.execute(select(*columns).where(Category.key == key))).first()
    if row is None:
        raise NotFound("category", key)
    return CategoryEntry(*row)
