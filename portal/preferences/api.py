"""The JSON API of categories."""

from __future__ import annotations

from typing import Any

from litestar import Router, get, post, put
from litestar.params import FromPath
from msgspec import Struct

from portal.access import Actor
from portal.db import Database
from portal.preferences.categories import CategoryEntry, all_categories
from portal.preferences.set_category import CategoryIn, CategoryPut, create_category, set_category
from portal.web.documented import problems
from portal.web.guards import require

READ: dict[str, Any] = {"guards": [require("templates:read")], "opt": {"permission": "templates:read"}}
WRITE: dict[str, Any] = {"guards": [require("templates:write")], "opt": {"permission": "templates:write"}}


class CategoryList(Struct):
    """Every category, by key."""

    items: list[CategoryEntry]


@get("/categories", summary="List categories", **READ)
async def categories_listed(db: Database) -> CategoryList:
    async with db.read() as conn:
        return CategoryList(await all_categories(conn))


@post("/categories", summary="Create a category", status_code=201, responses=problems(400, 409), **WRITE)
async def category_created(data: CategoryIn, db: Database, actor: Actor) -> CategoryEntry:
    return await create_category(db, actor, data)


# An approver who designs no templates may mark a category transactional: the verb asks for what each field needs.
@put("/categories/{key:str}", summary="Change a category", responses=problems(400, 404), **READ)
async def category_changed(key: FromPath[str], data: CategoryPut, db: Database, actor: Actor) -> CategoryEntry:
    """Change a category. `transactional` needs approve:write, everything else templates:write."""
    return await set_category(db, actor, key, data)


api_router = Router(
    path="/", tags=["Templates"], route_handlers=[categories_listed, category_created, category_changed]
)
