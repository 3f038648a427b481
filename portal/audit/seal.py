"""Sealing: an elected process numbers and chains what was recorded, within a second, and signs the head."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.audit.chain import PURPOSE, START, entry_hash, signature
from portal.audit.models import AuditEntry, AuditHead
from portal.db import Database, Id
from portal.ledger.elect import elect
from portal.sealing import Keyring

AT_ONCE = 500
ELECTED_SECONDS = 3.0

log = logging.getLogger(__name__)


class Sealer:
    """Seals for one process; call `seal` every second."""

    def __init__(self, db: Database, keyring: Keyring, *, owner: str) -> None:
        self._db = db
        self._key = keyring.derive(PURPOSE)
        self._owner = owner

    async def seal(self) -> int:
        """Chain everything that waits; the number of entries sealed, 0 when another process is elected."""
        if not await self._db.transact(elect, "audit", self._owner, ELECTED_SECONDS):
            return 0
        total = 0
        while sealed := await self._db.transact(seal_some, self._key):
            total += sealed
        return total


async def seal_some(conn: AsyncConnection, key: bytes) -> int:
    """Chain up to 500 waiting entries and sign the new head; the number sealed.

    Two sealers at once cannot fork the chain: places are unique.
    """
    waiting = (
        await conn.execute(select(AuditEntry).where(AuditEntry.n.is_(None)).order_by(AuditEntry.id).limit(AT_ONCE))
    ).all()
    if not waiting:
        return 0
    last = (
        await conn.execute(
            select(AuditEntry.n, AuditEntry.hash).where(AuditEntry.n.is_not(None)).order_by(AuditEntry.n.desc()).limit(1)
        )
    ).first()
    n, head = (last.n, last.hash) if last is not None else (0, START)
    places = []
    for entry in waiting:
        n += 1
        head = entry_hash(head, n, entry)
        places.append({"entry": entry.id, "n": n, "hash": head})
    statement = update(AuditEntry).where(AuditEntry.id == bindparam("entry", type_=Id()))
    await conn.execute(statement.values(n=bindparam("n"), hash=bindparam("hash")), places)
    values = {"n": n, "hash": head, "signature": signature(key, n, head), "at": datetime.now(UTC)}
    await conn.execute(insert(AuditHead).values(**values))
    return len(waiting)
