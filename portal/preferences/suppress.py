"""Suppressions: set-based look-up at plan, and the one way to add them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import bulk
from portal.preferences.models import Suppression

# Built once, with one expanding parameter: coercing hundreds of values anew costs more than the query.
_SUPPRESSED = select(Suppression.channel, Suppression.address).where(
    Suppression.address.in_(bindparam("addresses", expanding=True))
)


async def suppressed(conn: AsyncConnection, addresses: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (channel, address) pairs that must not be used."""
    if not addresses:
        return set()
    wanted = {address for _, address in addresses}
    found = {(channel, address) for channel, address in await conn.execute(_SUPPRESSED, {"addresses": list(wanted)})}
    return found & set(addresses)


async def suppress(conn: AsyncConnection, pairs: Collection[tuple[str, str, str]]) -> None:
    """Never use these (channel, address, reason) again."""
    rows = [{"channel": channel, "address": address, "reason": reason[:200]} for channel, address, reason in pairs]
    await bulk.insert_ignore(conn, Suppression, rows)
