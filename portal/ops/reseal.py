"""Rotating the secret key: everything sealed under the first key, the old ones forgotten."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access.actor import SYSTEM
from portal.access.check_secret import check_secret, retire_keys
from portal.audit import record
from portal.db import Database
from portal.providers.reseal import reseal
from portal.sealing import Keyring
from portal.settings import Settings


async def reseal_all(settings: Settings) -> int:
    """How many accounts were sealed again. Processes go on meanwhile: they hold the old key and the new one."""
    db = Database(settings.database, pool=2)
    keyring = Keyring.from_settings(settings)
    try:
        await check_secret(db, keyring)
        return await db.transact(_reseal, keyring)
    finally:
        await db.close()


async def _reseal(conn: AsyncConnection, keyring: Keyring) -> int:
    changed = await reseal(conn, keyring)
    await retire_keys(conn, keyring)
    await record(conn, SYSTEM, "secret_key.rotate", "installation", None, {"accounts": changed})
    return changed
