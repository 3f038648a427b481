"""Add, change and remove the steps of routes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import bump, new_id
from portal.errors import InvalidInput, NotFound
from portal.providers import queries
from portal.providers.models import Route
from portal.providers.schemas import RouteCreate, RouteUpdate
from portal.providers.seed import FALLBACK_POSITION


async def add_route(conn: AsyncConnection, actor: Actor, given: RouteCreate) -> UUID:
    """The id of the new step. Raises InvalidInput when the account does not exist or sends another channel."""
    actor.require("providers:write")
    await _check_account(conn, given.channel, given.account_id)
    row: dict[str, Any] = {
        "id": new_id(),
        "channel": given.channel,
        "application_id": given.application_id,
        "position": given.position,
        "account_id": given.account_id,
        "enabled": given.enabled,
    }
    await conn.execute(insert(Route).values(row))
    await _told(conn, actor, "route.create", row["id"], None, _audited(row))
    return UUID(str(row["id"]))


async def change_route(conn: AsyncConnection, actor: Actor, route_id: UUID, given: RouteUpdate) -> None:
    """Change position, account or whether the step is in use. Raises NotFound, InvalidInput."""
    actor.require("providers:write")
    row = await queries.get_route(conn, route_id)
    values = {
        name: value for name in ("position", "account_id", "enabled") if (value := getattr(given, name)) is not None
    }
    if row.position == FALLBACK_POSITION and "position" in values:
        raise InvalidInput({"position": "the portal's own fallback stays last; add a step instead"})
    if "account_id" in values:
        await _check_account(conn, row.channel, values["account_id"])
    if values:
        await conn.execute(update(Route).where(Route.id == route_id).values(**values))
        after = _audited({**row._asdict(), **values})
        await _told(conn, actor, "route.update", route_id, _audited(row._asdict()), after)


async def remove_route(conn: AsyncConnection, actor: Actor, route_id: UUID) -> None:
    """Remove one step. Raises NotFound."""
    actor.require("providers:write")
    row = await queries.get_route(conn, route_id)
    await conn.execute(delete(Route).where(Route.id == route_id))
    await _told(conn, actor, "route.remove", route_id, _audited(row._asdict()), None)


async def _check_account(conn: AsyncConnection, channel: str, account_id: UUID) -> None:
    try:
        account = await queries.get_account(conn, account_id)
    except NotFound as error:
        raise InvalidInput({"account_id": str(error)}) from None
    if account.channel != channel:
        raise InvalidInput({"account_id": f"the account {account.key} sends {account.channel}, not {channel}"})


def _audited(row: Any) -> dict[str, Any]:
    return {
        "channel": row["channel"],
        "application_id": None if row["application_id"] is None else str(row["application_id"]),
        "position": row["position"],
        "account_id": str(row["account_id"]),
        "enabled": row["enabled"],
    }


async def _told(
    conn: AsyncConnection,
    actor: Actor,
    action: str,
    target: UUID,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    await bump(conn, "providers")
    await record(conn, actor, action, f"route/{target}", before, after)
