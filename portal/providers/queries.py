"""Reads of accounts and routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.errors import NotFound
from portal.providers.models import ProviderAccount, Route

AnyRow = Row[Any]
ACCOUNT = ProviderAccount.__table__
ROUTE = Route.__table__


async def all_accounts(conn: AsyncConnection) -> Sequence[AnyRow]:
    """Every account, by channel and key."""
    return (await conn.execute(select(ACCOUNT).order_by(ACCOUNT.c.channel, ACCOUNT.c.key))).all()


async def get_account(conn: AsyncConnection, account_id: UUID) -> AnyRow:
    """One account; raises NotFound."""
    row = (await conn.execute(select(ACCOUNT).where(ACCOUNT.c.id == account_id))).first()
    if row is None:
        raise NotFound("provider account", account_id)
    return row


async def account_by_key(conn: AsyncConnection, key: str) -> AnyRow | None:
    """The account with this key, if there is one."""
    return (await conn.execute(select(ACCOUNT).where(ACCOUNT.c.key == key))).first()


async def all_routes(conn: AsyncConnection) -> Sequence[AnyRow]:
    """Every step of every route, in the order in which they are tried."""
    order = (ROUTE.c.channel, ROUTE.c.application_id, ROUTE.c.position, ROUTE.c.id)
    return (await conn.execute(select(ROUTE).order_by(*order))).all()


async def get_route(conn: AsyncConnection, route_id: UUID) -> AnyRow:
    """One step; raises NotFound."""
    row = (await conn.execute(select(ROUTE).where(ROUTE.c.id == route_id))).first()
    if row is None:
        raise NotFound("route", route_id)
    return row
