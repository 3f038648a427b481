"""The JSON API of the stop buttons."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import Router, delete, get, post
from litestar.params import FromPath
from msgspec import Meta, Struct

from portal.access import Actor
from portal.db import Database
from portal.delivery.stops import StopEntry, press, pressed, release
from portal.web.documented import problems
from portal.web.guards import require

READ: dict[str, Any] = {"guards": [require("notifications:read")], "opt": {"permission": "notifications:read"}}
OPERATE: dict[str, Any] = {"guards": [require("operate:write")], "opt": {"permission": "operate:write"}}
Kind = Literal["everything", "lane", "application", "template", "account"]


class StopIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """What to stop: a lane by name, an application or account by id, a template by key; or everything."""

    kind: Kind
    key: Annotated[str, Meta(max_length=100)] = "*"
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class StopList(Struct):
    """Every pressed stop button, oldest first."""

    items: list[StopEntry]


@get("/stops", summary="List the pressed stop buttons", **READ)
async def stops_listed(db: Database) -> StopList:
    async with db.read() as conn:
        return StopList(await pressed(conn))


@post("/stops", summary="Stop work", status_code=201, responses=problems(400, 409), **OPERATE)
async def stopped(data: StopIn, db: Database, actor: Actor) -> StopList:
    """Pause a lane, an application, a template, an account or everything; accepting goes on."""
    await press(db, actor, data.kind, data.key, data.reason)
    async with db.read() as conn:
        return StopList(await pressed(conn))


@delete("/stops/{kind:str}/{key:str}", summary="Let work go on", status_code=204, responses=problems(404), **OPERATE)
async def released(kind: FromPath[str], key: FromPath[str], db: Database, actor: Actor) -> None:
    """Release a stop button; the key of `everything` is `*`."""
    await release(db, actor, kind, key)


api_router = Router(path="/", tags=["Operations"], route_handlers=[stops_listed, stopped, released])
