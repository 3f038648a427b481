"""The pages of provider accounts and routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery

from portal.access import Actor
from portal.access.queries import applications
from portal.db import Database
from portal.errors import Conflict, InvalidInput, PreconditionFailed
from portal.plugin_loader import Registry
from portal.providers import queries
from portal.providers.accounts import Accounts
from portal.providers.check import check_account
from portal.providers.create import create_account
from portal.providers.move_route import append_route, move_route
from portal.providers.schemas import AccountCreate, AccountOut, AccountUpdate, CheckResult, RouteUpdate
from portal.providers.seed import FALLBACK_POSITION, sandbox_account_id
from portal.providers.set_route import change_route, remove_route
from portal.providers.settings_form import settings_fields, typed_settings
from portal.providers.show import account_out
from portal.providers.update import remove_account, update_account
from portal.sealing import Keyring
from portal.web.forms import Field, many, with_errors
from portal.web.guards import require
from portal.web.render import AnyRequest, page, redirect

READ: dict[str, Any] = {"guards": [require("providers:read")], "opt": {"permission": "providers:read"}}
WRITE: dict[str, Any] = {"guards": [require("providers:write")], "opt": {"permission": "providers:write"}}
NEW = "/providers/new"
# The fields of the account itself, besides those of its provider.
OWN = ("title", "concurrency", "timeout_seconds")


@get("/providers", **READ)
async def listed(request: AnyRequest, db: Database, registry: Registry, keyring: Keyring) -> Response[str]:
    async with db.read() as conn:
        rows = await queries.all_accounts(conn)
        routes = await queries.all_routes(conn)
        names = {row.id: row.name for row in await applications(conn)}
    accounts = {row.id: account_out(row, registry, keyring) for row in rows}
    context: dict[str, Any] = {"accounts": accounts, "routes": _grouped(routes), "applications": names}
    return page(
        request,
        "providers/list.html",
        registry=registry,
        fallback=FALLBACK_POSITION,
        **context,
        providers=_titles(registry),
    )


@get(NEW, **WRITE)
async def new(
    request: AnyRequest, registry: Registry, channel: FromQuery[str] = "", provider: FromQuery[str] = ""
) -> Response[str]:
    return _new_page(request, registry, channel, provider)


@post(NEW, status_code=200, **WRITE)
async def create(
    request: AnyRequest, db: Database, registry: Registry, keyring: Keyring, accounts: Accounts, actor: Actor
) -> Response[str]:
    form = many(await request.form())
    channel, provider = str(form.get("channel", "")), str(form.get("provider", ""))
    kind = registry.providers.get(provider)
    if kind is None or channel not in registry.channels:
        return _new_page(request, registry, channel, provider)
    typed = typed_settings(kind.settings_type, form)
    try:
        given = AccountCreate(
            key=str(form.get("key", "")).strip(), channel=channel, provider=provider, settings=typed, **_own(form)
        )
        account_id = await db.transact(create_account, actor, registry, keyring, given, strict=False)
    except InvalidInput as error:
        return _new_page(request, registry, channel, provider, form, typed, error.fields)
    except Conflict as error:
        return _new_page(request, registry, channel, provider, form, typed, {"key": error.message})
    await accounts.load()
    flash = ("success", "The account is set up. Test it, then put it on the channel's route.")
    return redirect(request, f"/providers/{account_id}", flash=flash)


@get("/providers/{account_id:uuid}", **READ)
async def account(
    request: AnyRequest, account_id: FromPath[UUID], db: Database, registry: Registry, keyring: Keyring
) -> Response[str]:
    return _account_page(request, registry, await _shown(db, registry, keyring, account_id))


@post("/providers/{account_id:uuid}", status_code=200, **WRITE)
async def save(
    request: AnyRequest,
    account_id: FromPath[UUID],
    db: Database,
    registry: Registry,
    keyring: Keyring,
    accounts: Accounts,
    actor: Actor,
) -> Response[str]:
    form = many(await request.form())
    shown = await _shown(db, registry, keyring, account_id)
    kind = registry.providers.get(shown.provider)
    typed = typed_settings(kind.settings_type, form) if kind else None
    version = int(form["version"]) if str(form.get("version", "")).isdecimal() else None
    try:
        given = AccountUpdate(settings=typed, **_own(form))
        await db.transact(update_account, actor, registry, keyring, account_id, given, if_version=version, strict=False)
    except (InvalidInput, PreconditionFailed) as error:
        fields = error.fields if isinstance(error, InvalidInput) else {"": error.message}
        return _account_page(request, registry, shown, form=form, typed=typed, errors=fields)
    await accounts.load()
    return redirect(request, f"/providers/{account_id}", flash=("success", "Saved; in use within a second."))


@post("/providers/{account_id:uuid}/test", status_code=200, **WRITE)
async def tested(
    request: AnyRequest,
    account_id: FromPath[UUID],
    db: Database,
    registry: Registry,
    keyring: Keyring,
    accounts: Accounts,
) -> Response[str]:
    async with db.read() as conn:
        row = await queries.get_account(conn, account_id)
    result = await check_account(row, db, registry, keyring, accounts.guard)
    return _account_page(request, registry, account_out(row, registry, keyring), result=result)


@post("/providers/{account_id:uuid}/enable", status_code=200, **WRITE)
async def enable(
    request: AnyRequest,
    account_id: FromPath[UUID],
    db: Database,
    registry: Registry,
    keyring: Keyring,
    accounts: Accounts,
    actor: Actor,
) -> Response[str]:
    on = (await request.form()).get("enabled") == "true"
    await db.transact(update_account, actor, registry, keyring, account_id, AccountUpdate(enabled=on))
    await accounts.load()
    text = "Enabled: routes may lead here." if on else "Disabled: nothing more is sent through it."
    return redirect(request, f"/providers/{account_id}", flash=("success", text))


@post("/providers/{account_id:uuid}/remove", status_code=200, **WRITE)
async def remove(
    request: AnyRequest, account_id: FromPath[UUID], db: Database, accounts: Accounts, actor: Actor
) -> Response[str]:
    await db.transact(remove_account, actor, account_id)
    await accounts.load()
    return redirect(request, "/providers", flash=("success", "The account is gone, with its secrets and its routes."))


@post("/providers/routes", status_code=200, **WRITE)
async def route_added(request: AnyRequest, db: Database, accounts: Accounts, actor: Actor) -> Response[str]:
    form = many(await request.form())
    try:
        chosen = UUID(str(form.get("account_id", "")))
        application = UUID(str(form["application_id"])) if form.get("application_id") else None
    except ValueError:
        raise InvalidInput({"account_id": "choose an account"}) from None
    await db.transact(append_route, actor, str(form.get("channel", "")), chosen, application)
    await accounts.load()
    return redirect(request, "/providers", flash=("success", "The account is on the route now."))


@post("/providers/routes/{route_id:uuid}/{move:str}", status_code=200, **WRITE)
async def route_changed(
    request: AnyRequest, route_id: FromPath[UUID], move: FromPath[str], db: Database, accounts: Accounts, actor: Actor
) -> Response[str]:
    if move in ("up", "down"):
        await db.transact(move_route, actor, route_id, up=move == "up")
    elif move in ("on", "off"):
        await db.transact(change_route, actor, route_id, RouteUpdate(enabled=move == "on"))
    elif move == "remove":
        await db.transact(remove_route, actor, route_id)
    else:
        raise InvalidInput({"move": "expected up, down, on, off or remove"})
    await accounts.load()
    return redirect(request, "/providers", flash=("success", "The route is changed."))


async def _shown(db: Database, registry: Registry, keyring: Keyring, account_id: UUID) -> AccountOut:
    async with db.read() as conn:
        return account_out(await queries.get_account(conn, account_id), registry, keyring)


def _account_page(
    request: AnyRequest,
    registry: Registry,
    shown: AccountOut,
    *,
    form: Mapping[str, Any] | None = None,
    typed: Mapping[str, Any] | None = None,
    errors: Mapping[str, str] | None = None,
    result: CheckResult | None = None,
) -> Response[str]:
    kind = registry.providers.get(shown.provider)
    values = {**shown.settings, **(typed or {})}
    own = with_errors(_own_fields(), errors or {}, {**msgspec.structs.asdict(shown), **(form or {})})
    return page(
        request,
        "providers/account.html",
        block="check" if result else None,
        status=422 if errors else 200,
        account=shown,
        ours=shown.id == sandbox_account_id(shown.channel),
        channel=registry.channels[shown.channel].title if shown.channel in registry.channels else shown.channel,
        provider=kind.title if kind else shown.provider,
        fields=settings_fields(kind.settings_type, values, errors) if kind else [],
        own=own,
        errors=errors or {},
        result=result,
    )


def _new_page(
    request: AnyRequest,
    registry: Registry,
    channel: str,
    provider: str,
    form: Mapping[str, Any] | None = None,
    typed: Mapping[str, Any] | None = None,
    errors: Mapping[str, str] | None = None,
) -> Response[str]:
    kind = registry.providers.get(provider) if channel in registry.channels else None
    key = Field(
        name="key",
        label="Key",
        help="Short, for logs and the API; it never changes.",
        required=True,
        placeholder=f"{provider}-main",
        attributes={"maxlength": "99"},
    )
    defaults = {"title": kind.title if kind else "", "concurrency": "20", "timeout_seconds": "30"}
    return page(
        request,
        "providers/new.html",
        status=422 if errors else 200,
        kinds=[
            (name, adapter.title, registry.providers_of(name)) for name, adapter in sorted(registry.channels.items())
        ],
        kind=kind,
        channel=registry.channels[channel] if kind else None,
        own=with_errors([key, *_own_fields()], errors or {}, {**defaults, **(form or {})}),
        fields=settings_fields(kind.settings_type, typed or {}, errors) if kind else [],
        errors=errors or {},
    )


def _own_fields() -> list[Field]:
    return [
        Field(name="title", label="Title", help="How people call it.", attributes={"maxlength": "200"}),
        Field(
            name="concurrency",
            label="Calls at once",
            kind="number",
            help="Per process.",
            required=True,
            attributes={"min": "1", "max": "1000"},
        ),
        Field(
            name="timeout_seconds",
            label="Deadline of a call",
            kind="number",
            help="Seconds, in all.",
            required=True,
            attributes={"min": "0.1", "max": "300", "step": "any"},
        ),
    ]


def _own(form: Mapping[str, Any]) -> dict[str, Any]:
    """The account's own fields as they were typed; raises `InvalidInput`."""
    found: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name in OWN:
        try:
            found[name] = getattr(msgspec.convert({name: form.get(name, "")}, AccountUpdate, strict=False), name)
        except msgspec.ValidationError as error:
            wrong[name] = str(error).split(" - at")[0].replace("`", "").lower()
    if wrong:
        raise InvalidInput(wrong)
    return found


def _grouped(routes: Any) -> dict[str, dict[UUID | None, list[Any]]]:
    """Channel → application (None: everybody) → steps in order."""
    found: dict[str, dict[UUID | None, list[Any]]] = {}
    for row in routes:
        found.setdefault(row.channel, {}).setdefault(row.application_id, []).append(row)
    return found


def _titles(registry: Registry) -> dict[str, str]:
    return {name: kind.title for name, kind in registry.providers.items()}


pages_router = Router(
    path="/",
    include_in_schema=False,
    route_handlers=[
        listed, new, create, account, save, tested, enable, remove, route_added, route_changed,
    ],
)  # fmt: skip
