"""The JSON API of provider accounts and routes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, Router, delete, get, patch, post
from litestar.params import FromPath

from portal.access import Actor
from portal.db import Database
from portal.plugin_loader import Registry
from portal.providers import queries
from portal.providers.accounts import Accounts
from portal.providers.check import check_account
from portal.providers.create import create_account
from portal.providers.schemas import (
    AccountCreate,
    AccountList,
    AccountOut,
    AccountUpdate,
    CheckResult,
    ProviderList,
    RouteCreate,
    RouteList,
    RouteOut,
    RouteUpdate,
)
from portal.providers.set_route import add_route, change_route, remove_route
from portal.providers.show import account_out, provider_out, route_out
from portal.providers.update import remove_account, update_account
from portal.sealing import Keyring
from portal.web.guards import require
from portal.web.if_match import IfMatch, etag, revision_of

READ: dict[str, Any] = {"guards": [require("providers:read")], "opt": {"permission": "providers:read"}}
WRITE: dict[str, Any] = {"guards": [require("providers:write")], "opt": {"permission": "providers:write"}}


@get("/providers", summary="List the providers of the enabled plugins", **READ)
async def providers(registry: Registry) -> ProviderList:
    kinds = sorted(registry.providers.values(), key=lambda kind: kind.name)
    return ProviderList(items=[provider_out(kind, registry) for kind in kinds])


@get("/provider-accounts", summary="List provider accounts", **READ)
async def accounts_listed(db: Database, registry: Registry, keyring: Keyring) -> AccountList:
    async with db.read() as conn:
        rows = await queries.all_accounts(conn)
    return AccountList(items=[account_out(row, registry, keyring) for row in rows])


@post("/provider-accounts", summary="Create a provider account", **WRITE)
async def account_created(
    data: AccountCreate, db: Database, registry: Registry, keyring: Keyring, actor: Actor
) -> Response[AccountOut]:
    account_id = await db.transact(create_account, actor, registry, keyring, data)
    return await _account(db, registry, keyring, account_id, status=201)


@get("/provider-accounts/{account_id:uuid}", summary="Get a provider account", **READ)
async def account(
    account_id: FromPath[UUID], db: Database, registry: Registry, keyring: Keyring
) -> Response[AccountOut]:
    return await _account(db, registry, keyring, account_id)


@patch("/provider-accounts/{account_id:uuid}", summary="Change a provider account", **WRITE)
async def account_changed(
    account_id: FromPath[UUID],
    data: AccountUpdate,
    db: Database,
    registry: Registry,
    keyring: Keyring,
    actor: Actor,
    if_match: IfMatch = None,
) -> Response[AccountOut]:
    version = revision_of(if_match)
    await db.transact(update_account, actor, registry, keyring, account_id, data, if_version=version)
    return await _account(db, registry, keyring, account_id)


@delete("/provider-accounts/{account_id:uuid}", summary="Remove a provider account and its routes", **WRITE)
async def account_removed(account_id: FromPath[UUID], db: Database, actor: Actor) -> None:
    await db.transact(remove_account, actor, account_id)


@post(
    "/provider-accounts/{account_id:uuid}/check", summary="Reach the vendor without sending", status_code=200, **WRITE
)
async def account_checked(
    account_id: FromPath[UUID], db: Database, registry: Registry, keyring: Keyring, accounts: Accounts
) -> CheckResult:
    async with db.read() as conn:
        row = await queries.get_account(conn, account_id)
    return await check_account(row, db, registry, keyring, accounts.guard)


@get("/routes", summary="List the steps of all routes", **READ)
async def routes(db: Database) -> RouteList:
    async with db.read() as conn:
        return RouteList(items=[route_out(row) for row in await queries.all_routes(conn)])


@post("/routes", summary="Add a step to a route", **WRITE)
async def route_created(data: RouteCreate, db: Database, actor: Actor) -> RouteOut:
    return await _route(db, await db.transact(add_route, actor, data))


@get("/routes/{route_id:uuid}", summary="Get a step of a route", **READ)
async def route(route_id: FromPath[UUID], db: Database) -> RouteOut:
    return await _route(db, route_id)


@patch("/routes/{route_id:uuid}", summary="Change a step of a route", **WRITE)
async def route_changed(route_id: FromPath[UUID], data: RouteUpdate, db: Database, actor: Actor) -> RouteOut:
    await db.transact(change_route, actor, route_id, data)
    return await _route(db, route_id)


@delete("/routes/{route_id:uuid}", summary="Remove a step of a route", **WRITE)
async def route_removed(route_id: FromPath[UUID], db: Database, actor: Actor) -> None:
    await db.transact(remove_route, actor, route_id)


async def _account(
    db: Database, registry: Registry, keyring: Keyring, account_id: UUID, *, status: int = 200
) -> Response[AccountOut]:
    async with db.read() as conn:
        shown = account_out(await queries.get_account(conn, account_id), registry, keyring)
    return Response(shown, status_code=status, headers=etag(shown.version))


async def _route(db: Database, route_id: UUID) -> RouteOut:
    async with db.read() as conn:
        return route_out(await queries.get_route(conn, route_id))


api_router = Router(
    path="/",
    tags=["Providers"],
    route_handlers=[
        providers,
        accounts_listed,
        account_created,
        account,
        account_changed,
        account_removed,
        account_checked,
        routes,
        route_created,
        route,
        route_changed,
        route_removed,
    ],
)
