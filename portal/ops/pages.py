"""The start page and the stop buttons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, Router, get, post

from portal.access import Actor
from portal.access.queries import applications
from portal.delivery.stops import press, release
from portal.errors import InvalidInput
from portal.ledger.statuses import LANES
from portal.ops.overview import overview
from portal.parts import Parts
from portal.web.forms import Field, many, with_errors
from portal.web.guards import require
from portal.web.render import AnyRequest, page, redirect

READ: dict[str, Any] = {"guards": [require("notifications:read")], "opt": {"permission": "notifications:read"}}
OPERATE: dict[str, Any] = {"guards": [require("operate:write")], "opt": {"permission": "operate:write"}}
# More templates than this are stopped on their own page.
TEMPLATES_OFFERED = 100


@get("/", **READ)
async def home(request: AnyRequest, parts: Parts, actor: Actor) -> Response[str]:
    return await _home(request, parts, actor)


@post("/stops", status_code=200, **OPERATE)
async def stop_pressed(request: AnyRequest, parts: Parts, actor: Actor) -> Response[str]:
    form = many(await request.form())
    kind, _, key = str(form.get("what", "")).partition(":")
    try:
        if str(form.get("what", "")) not in {value for value, _ in await _choices(parts)}:
            raise InvalidInput({"what": "choose what to stop"})
        await press(parts.db, actor, kind, key, str(form.get("reason", "")))
    except InvalidInput as error:
        return await _home(request, parts, actor, typed=form, errors=error.fields)
    await parts.stops.load()
    return redirect(request, "/", flash=("success", "Stopped. Accepting goes on; the work waits until you release it."))


@post("/stops/release", status_code=200, **OPERATE)
async def stop_released(request: AnyRequest, parts: Parts, actor: Actor) -> Response[str]:
    form = many(await request.form())
    await release(parts.db, actor, str(form.get("kind", "")), str(form.get("key", "")))
    await parts.stops.load()
    return redirect(request, "/", flash=("success", "Released. What waited goes on now."))


async def _home(
    request: AnyRequest,
    parts: Parts,
    actor: Actor,
    *,
    typed: Mapping[str, Any] | None = None,
    errors: Mapping[str, str] | None = None,
) -> Response[str]:
    fields = _fields(await _choices(parts)) if actor.may("operate:write") else []
    return page(
        request,
        "ops/home.html",
        block=None if errors else "live",
        status=422 if errors else 200,
        state=await overview(parts, await _applications(parts)),
        fields=with_errors(fields, errors or {}, typed or {}),
        open=bool(errors),
    )


def _fields(choices: list[tuple[str, str]]) -> list[Field]:
    return [
        Field(name="what", label="What", kind="select", options=[("", "Choose"), *choices], required=True),
        Field(
            name="reason",
            label="Reason",
            help="Everybody sees it in the banner, and the audit keeps it.",
            required=True,
            attributes={"maxlength": "500"},
        ),
    ]


async def _applications(parts: Parts) -> dict[UUID, str]:
    async with parts.db.read() as conn:
        return {row.id: row.name for row in await applications(conn)}


async def _choices(parts: Parts) -> list[tuple[str, str]]:
    """What can be stopped and is not: (value, label)."""
    named = await _applications(parts)
    accounts = sorted(parts.accounts.all(), key=lambda account: account.title)
    templates = sorted(parts.templates.all(), key=lambda template: template.name)[:TEMPLATES_OFFERED]
    every = [
        ("everything:*", "Everything"),
        *((f"lane:{lane}", f"Lane: {lane}") for lane in LANES),
        *((f"application:{key}", f"Application: {name}") for key, name in named.items()),
        *((f"account:{each.id}", f"Provider account: {each.title}") for each in accounts),
        *((f"template:{each.key}", f"Template: {each.name}") for each in templates),
    ]
    pressed = {f"{stop.kind}:{stop.key}" for stop in parts.stops.entries}
    return [option for option in every if option[0] not in pressed]


pages_router = Router(path="/", route_handlers=[home, stop_pressed, stop_released], include_in_schema=False)
