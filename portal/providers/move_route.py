"""Change the order in which the accounts of a route are tried."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.providers import queries
from portal.providers.schemas import RouteCreate, RouteUpdate
from portal.providers.seed import FALLBACK_POSITION
from portal.providers.set_route import add_route, change_route

STEP = 10


async def move_route(conn: AsyncConnection, actor: Actor, route_id: UUID, *, up: bool) -> None:
    """Let the step change places with the one before or after it. At the end of the list nothing happens.

    Raises `NotFound`.
    """
    row = await queries.get_route(conn, route_id)
    steps = await _steps(conn, row.channel, row.application_id)
    ids = [step.id for step in steps]
    if route_id not in ids:
        return
    at = ids.index(route_id)
    other = at - 1 if up else at + 1
    if not 0 <= other < len(ids):
        return
    steps[at], steps[other] = steps[other], steps[at]
    for number, step in enumerate(steps, start=1):
        if step.position != number * STEP:
            await change_route(conn, actor, step.id, RouteUpdate(position=number * STEP))


async def append_route(
    conn: AsyncConnection, actor: Actor, channel: str, account_id: UUID, application_id: UUID | None
) -> UUID:
    """The id of a new step behind the others of its route. Raises `InvalidInput`."""
    steps = await _steps(conn, channel, application_id)
    position = min(steps[-1].position + STEP, 9999) if steps else STEP
    given = RouteCreate(channel=channel, account_id=account_id, position=position, application_id=application_id)
    return await add_route(conn, actor, given)


async def _steps(conn: AsyncConnection, channel: str, application_id: UUID | None) -> list[Any]:
    """The steps that a person set, in order; the portal's own fallback stays where it is."""
    return [
        row
        for row in await queries.all_routes(conn)
        if row.channel == channel and row.application_id == application_id and row.position < FALLBACK_POSITION
    ]
