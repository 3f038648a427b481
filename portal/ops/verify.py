"""Proofs from the command line."""

from __future__ import annotations

from portal.audit import Report, verify
from portal.db import Database
from portal.sealing import Keyring
from portal.settings import Settings


async def audit(settings: Settings) -> Report:
    """Verify the audit's chain."""
    db = Database(settings.database, pool=2)
    try:
        return await verify(db, Keyring.from_settings(settings))
    finally:
        await db.close()
