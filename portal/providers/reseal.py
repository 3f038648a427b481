"""A step of the rotation of PORTAL_SECRET_KEY: seal the secrets of all accounts under the first key."""

from __future__ import annotations

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import bump
from portal.providers import queries
from portal.providers.accounts import FIELD, TABLE
from portal.providers.models import ProviderAccount, VendorToken
from portal.sealing import Keyring


async def reseal(conn: AsyncConnection, keyring: Keyring) -> int:
    """How many accounts were sealed again. Shared vendor tokens are dropped: they are fetched anew."""
    changed = 0
    for row in await queries.all_accounts(conn):
        sealed = row.sealed and keyring.reseal(row.sealed, table=TABLE, row=str(row.id), field=FIELD)
        if sealed:
            await conn.execute(update(ProviderAccount).where(ProviderAccount.id == row.id).values(sealed=sealed))
            changed += 1
    await conn.execute(delete(VendorToken))
    if changed:
        await bump(conn, "providers")
    return changed
