"""Number and chain what was written, and sign the new end. Every worker calls this each second."""

from __future__ import annotations

import logging

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.audit.chain import START, entry_hash, sign_head
from portal.audit.models import AuditEntry, AuditHead, AuditSealer
from portal.db import Database, bulk, db_now
from portal.sealing import Keyring

AT_ONCE = 500

log = logging.getLogger("portal.audit.heads")


async def seal_pending(db: Database, keyring: Keyring) -> int:
    """Chain every committed entry that is not chained yet; returns how many. Two at once take turns by a row lock."""
    async with db.read() as conn:
        waiting = select(AuditEntry.id).where(AuditEntry.seq.is_(None)).limit(1)
        if (await conn.execute(waiting)).first() is None:
            return 0
    sealed = 0
    while True:
        count = await db.transact(_seal_some, keyring)
        sealed += count
        if count < AT_ONCE:
            return sealed


async def _seal_some(conn: AsyncConnection, keyring: Keyring) -> int:
    await _elect(conn)
    last = select(AuditEntry.seq, AuditEntry.hash).where(AuditEntry.seq.isnot(None))
    end = (await conn.execute(last.order_by(AuditEntry.seq.desc()).limit(1))).one_or_none()
    seq, head = (end.seq or 0, end.hash or START) if end else (0, START)
    unsealed = select(*AuditEntry.__table__.columns).where(AuditEntry.seq.is_(None)).order_by(AuditEntry.id)
    rows = (await conn.execute(unsealed.limit(AT_ONCE))).all()
    updates = []
    for row in rows:
        seq += 1
        head = entry_hash(head, seq, row)
        updates.append({"id": row.id, "seq": seq, "hash": head})
    if updates:
        await bulk.update(conn, AuditEntry, ["id"], updates)
        values = {"seq": seq, "hash": head, "signature": sign_head(keyring, seq, head), "signed_at": db_now()}
        await conn.execute(insert(AuditHead).values(values))
        # A copy outside the database: `portal verify audit --head` compares with it.
        log.info("audit head %d %s", seq, head)
    return len(updates)


async def _elect(conn: AsyncConnection) -> None:
    """Wait for the lock of the one row; it is given back with the transaction."""
    lock = select(AuditSealer.id).where(AuditSealer.id == 1).with_for_update()
    if (await conn.execute(lock)).first() is None:
        await bulk.insert_ignore(conn, AuditSealer, [{"id": 1, "note": ""}])
        await conn.execute(lock)
