"""Refuse to work with another secret key than the one this database was sealed with."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access.models import KeyCheck
from portal.access.queries import AnyRow
from portal.db import Database, bulk
from portal.errors import SettingsError
from portal.sealing import Keyring, WrongKey

KNOWN = b"push portal"
TABLE, FIELD = "key_check", "sealed"


async def check_secret(db: Database, keyring: Keyring) -> None:
    """Return when every key this database needs is in the ring; raise `SettingsError` otherwise.

    The first start leaves a sealed value behind. A new first key leaves its own, so that the next start knows it too.
    """
    async with db.read() as conn:
        rows = (await conn.execute(select(KeyCheck.key_id, KeyCheck.purpose, KeyCheck.sealed))).all()
    _refuse_wrong(rows, keyring)
    missing = {(keyring.key_ids[0], "seal")}
    if not any(row.purpose == "hash" for row in rows):
        missing.add((keyring.key_ids[-1], "hash"))
    missing -= {(row.key_id, row.purpose) for row in rows}
    if missing:
        await db.transact(_leave, keyring, sorted(missing))


async def retire_keys(conn: AsyncConnection, keyring: Keyring) -> None:
    """Forget the keys that sealed before, after everything was sealed again under the first one."""
    await conn.execute(delete(KeyCheck).where(KeyCheck.purpose == "seal", KeyCheck.key_id != keyring.key_ids[0]))


async def _leave(conn: AsyncConnection, keyring: Keyring, places: list[tuple[str, str]]) -> None:
    rows = [
        {"key_id": key_id, "purpose": purpose, "sealed": _known(keyring, key_id, purpose)} for key_id, purpose in places
    ]
    await bulk.insert_ignore(conn, KeyCheck, rows)


def _known(keyring: Keyring, key_id: str, purpose: str) -> bytes:
    return keyring.seal(KNOWN, table=TABLE, row=f"{key_id}/{purpose}", field=FIELD, key_id=key_id)


def _refuse_wrong(rows: Sequence[AnyRow], keyring: Keyring) -> None:
    for row in rows:
        if row.key_id not in keyring.key_ids:
            raise SettingsError(
                f"PORTAL_SECRET_KEY: this database holds values made with key {row.key_id}, which is not given. "
                "Restore that key (an embedded installation keeps it in secret.key of its data folder)."
            )
    for row in rows:
        if row.purpose == "hash" and row.key_id != keyring.key_ids[-1]:
            raise SettingsError(
                f"PORTAL_SECRET_KEY: stored hashes were made with key {row.key_id}; keep that key in the last place."
            )
        try:
            keyring.open(row.sealed, table=TABLE, row=f"{row.key_id}/{row.purpose}", field=FIELD)
        except WrongKey as error:
            raise SettingsError("PORTAL_SECRET_KEY: it does not open what this database was sealed with.") from error
