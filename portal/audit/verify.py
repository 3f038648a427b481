"""Check the whole chain: the first entry that was changed, removed or put in, a missing end, and what is not sealed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.audit.chain import START, entry_hash, is_our_head
from portal.audit.models import AuditEntry, AuditHead
from portal.db import Database
from portal.sealing import Keyring

AT_ONCE = 1000


class AuditVerdict(Struct, frozen=True, kw_only=True):
    """What the check found. `broken` is empty when all is well, else one sentence that names the first bad entry."""

    broken: str
    entries: int
    heads: int
    last_seq: int
    last_hash: str
    unsealed: int
    unsealed_seconds: float


class _Broken(Exception):
    pass


async def verify(db: Database, keyring: Keyring, known: tuple[int, str] | None = None) -> AuditVerdict:
    """Walk the chain from its start. `known` is a head `(seq, hash)` kept elsewhere, for instance from the log."""
    broken = ""
    walk = _Walk(keyring, known)
    async with db.read() as conn:
        try:
            await walk.run(conn)
        except _Broken as error:
            broken = str(error)
        waiting = select(func.count(), func.min(AuditEntry.created_at)).where(AuditEntry.seq.is_(None))
        row = (await conn.execute(waiting)).one()
        unsealed: int = row[0]
        oldest: datetime | None = row[1]
    age = (datetime.now(UTC) - oldest).total_seconds() if oldest is not None else 0.0
    return AuditVerdict(
        broken=broken,
        entries=walk.entries,
        heads=walk.heads,
        last_seq=walk.seq,
        last_hash=walk.hash,
        unsealed=unsealed,
        unsealed_seconds=max(0.0, age),
    )


class _Walk:
    """The state of one check, entry by entry."""

    def __init__(self, keyring: Keyring, known: tuple[int, str] | None) -> None:
        self._keyring = keyring
        self._known = known
        self.seq, self.hash, self.entries, self.heads = 0, START, 0, 0

    async def run(self, conn: AsyncConnection) -> None:
        """Raise `_Broken` at the first thing that does not fit."""
        while rows := await self._entries_after(conn):
            heads = await self._heads_between(conn, self.seq, rows[-1].seq)
            for row in rows:
                self._step(row, heads)
        await self._check_end(conn)

    def _step(self, row: Any, heads: dict[int, Any]) -> None:
        if row.seq != self.seq + 1:
            raise _Broken(f"Entry {self.seq + 1} is missing.")
        expected = entry_hash(self.hash, row.seq, row)
        if row.hash != expected:
            raise _Broken(f"Entry {row.seq} ({row.action} {row.target}) is not what was sealed.")
        head = heads.get(row.seq)
        if head is not None:
            if head.hash != row.hash or not is_our_head(self._keyring, head.seq, head.hash, head.signature):
                raise _Broken(f"Entry {row.seq} ({row.action} {row.target}) does not fit its signed head.")
            self.heads += 1
        if self._known and self._known[0] == row.seq and self._known[1] != row.hash:
            raise _Broken(f"Entry {row.seq} ({row.action} {row.target}) does not fit the head that was given.")
        self.seq, self.hash = row.seq, row.hash
        self.entries += 1

    async def _check_end(self, conn: AsyncConnection) -> None:
        last = (await conn.execute(select(func.max(AuditHead.seq)))).scalar() or 0
        wanted = max(last, self._known[0] if self._known else 0)
        if wanted > self.seq:
            raise _Broken(f"The end is missing: entries {self.seq + 1} to {wanted} were sealed and are gone.")
        if last < self.seq:
            raise _Broken(f"Entries {last + 1} to {self.seq} have no signed head.")

    async def _entries_after(self, conn: AsyncConnection) -> Sequence[Any]:
        wanted = select(*AuditEntry.__table__.columns).where(AuditEntry.seq > self.seq).order_by(AuditEntry.seq)
        return (await conn.execute(wanted.limit(AT_ONCE))).all()

    async def _heads_between(self, conn: AsyncConnection, after: int, to: int) -> dict[int, Any]:
        columns = (AuditHead.seq, AuditHead.hash, AuditHead.signature)
        wanted = select(*columns).where(AuditHead.seq > after, AuditHead.seq <= to)
        return {row.seq: row for row in (await conn.execute(wanted)).all()}
