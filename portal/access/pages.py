"""Pages: API keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from litestar import Request, Response, Router, get, post

from portal.access.actor import PERMISSIONS, Actor
from portal.access.queries import applications, keys_listed
from portal.db import Database
from portal.errors import InvalidInput
from portal.identity.issue_keys import issue_key, withdraw_key
from portal.web.forms import Field, many, read_datetime
from portal.web.guards import require
from portal.web.render import page, redirect

AnyRequest = Request[Any, Any, Any]
DEFAULT_SCOPES = ["notifications:send", "notifications:read"]
# A value even for never: a required choice with an empty value would not be sent.
LIVES = {"never": "Never", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}


@get("/keys", guards=[require("keys:write")])
async def keys_page(request: AnyRequest, db: Database, actor: Actor) -> Response[str]:
    """Keys with what they may do and when they were last used."""
    return await _keys(request, db, actor)


@get("/keys/new", guards=[require("keys:write")])
async def new_key_page(request: AnyRequest, db: Database, actor: Actor) -> Response[str]:
    """The form for a new key."""
    return await _form(request, db, actor, {"mode": "test", "scopes": DEFAULT_SCOPES}, {})


@post("/keys", guards=[require("keys:write")])
async def create(request: AnyRequest, db: Database, actor: Actor) -> Response[str]:
    """Create a key and show it, once."""
    form = many(await request.form())
    scopes = form.get("scopes", [])
    try:
        key = await db.transact(
            issue_key,
            actor,
            application=str(form.get("application", "")),
            name=str(form.get("name", "")),
            mode=str(form.get("mode", "")),
            scopes=scopes if isinstance(scopes, list) else [scopes],
            expires_at=_expiry(str(form.get("expires", ""))),
        )
    except InvalidInput as error:
        return await _form(request, db, actor, form, error.fields, status=422)
    return await _keys(request, db, actor, created=key)


@post("/keys/{key_id:uuid}/revoke", guards=[require("keys:write")])
async def revoke(request: AnyRequest, db: Database, actor: Actor, key_id: UUID) -> Response[str]:
    """End a key."""
    await db.transact(withdraw_key, actor, key_id)
    return redirect(
        request, "/keys", flash=("success", "The key is revoked; every process refuses it within a second.")
    )


async def _keys(request: AnyRequest, db: Database, actor: Actor, *, created: str = "") -> Response[str]:
    async with db.read() as conn:
        keys = await keys_listed(conn)
    now = datetime.now(UTC)
    return page(request, "access/keys.html", keys=keys, created=created, now=now)


async def _form(
    request: AnyRequest, db: Database, actor: Actor, values: dict[str, Any], errors: dict[str, str], status: int = 200
) -> Response[str]:
    async with db.read() as conn:
        known = [row.key for row in await applications(conn)]
    fields = _fields(actor, values, errors)
    return page(
        request, "access/key_new.html", status=status, fields=fields, applications=known, errors=errors, actor=actor
    )


def _fields(actor: Actor, values: dict[str, Any], errors: dict[str, str]) -> list[Field]:
    grantable = [(scope, scope, title) for scope, title in PERMISSIONS.items() if actor.may(scope)]
    scopes = values.get("scopes", [])
    fields = [
        Field(
            name="name",
            label="Name",
            required=True,
            help="What uses this key, for instance billing-service, production.",
        ),
        Field(
            name="application",
            label="Application",
            required=True,
            help="The business system it sends for; a new name makes a new application.",
            attributes={"list": "applications", "maxlength": "100", "autocomplete": "off"},
        ),
        Field(
            name="mode",
            label="Mode",
            kind="select",
            required=True,
            options=[("test", "Test: everything goes to the sandbox"), ("live", "Live: messages reach people")],
        ),
        Field(name="expires", label="Expires", kind="select", required=True, options=list(LIVES.items())),
        Field(name="scopes", label="What it may do", kind="checks", options=grantable),
    ]
    for field in fields:
        field.value = values.get(field.name, "")
        field.error = errors.get(field.name, "")
    fields[-1].value = scopes if isinstance(scopes, list) else [scopes]
    return fields


def _expiry(choice: str) -> datetime | None:
    if choice in ("", "never"):
        return None
    if choice.isdigit():
        return datetime.now(UTC) + timedelta(days=min(int(choice), 3650))
    try:
        return read_datetime(choice)
    except ValueError as error:
        raise InvalidInput({"expires": str(error)}) from None


pages_router = Router(path="/", route_handlers=[keys_page, new_key_page, create, revoke], include_in_schema=False)
