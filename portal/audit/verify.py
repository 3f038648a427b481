"""Verifying: the first broken entry, a truncated end, and how old the unsealed tail is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.audit.chain import PURPOSE, START, entry_hash, is_signed
from portal.audit.models import AuditEntry, AuditHead
from portal.db import Database
from portal.sealing import Keyring

AT_ONCE = 1_000
TAIL_SECONDS = 60.0


class Report(Struct, frozen=True, kw_only=True):
    """What was found. `problem` is None for an intact chain; `tail_seconds` is the age of the oldest unsealed entry."""

    entries: int
    problem: str | None
    unsealed: int
    tail_seconds: float

    @property
    def intact(self) -> bool:
        """Whether nothing was changed, removed, inserted or reordered, and sealing goes on."""
        return self.problem is None and self.tail_seconds < TAIL_SECONDS

    def text(self) -> str:
        """A few lines for a person."""
        lines = [f"{self.entries} sealed entries: {'intact' if self.problem is None else self.problem}"]
        if self.unsealed:
            lines.append(f"{self.unsealed} entries wait to be sealed, the oldest for {self.tail_seconds:.0f} s")
        return "\n".join(lines)


async def verify(db: Database, keyring: Keyring) -> Report:
    """Walk the whole chain."""
    async with db.read() as conn:
        entries, problem = await _walk(conn, keyring.derive_all(PURPOSE))
        waiting = (
            await conn.execute(select(func.count(), func.min(AuditEntry.at)).where(AuditEntry.n.is_(None)))
        ).one()
    oldest = (datetime.now(UTC) - waiting[1]).total_seconds() if waiting[1] else 0.0
    return Report(entries=entries, problem=problem, unsealed=waiting[0], tail_seconds=oldest)


async def _walk(conn: AsyncConnection, keys: list[bytes]) -> tuple[int, str | None]:
    head, n = START, 0
    heads = {row.n: row for row in await conn.execute(select(AuditHead))}
    while True:
        rows = (
            await conn.execute(select(AuditEntry).where(AuditEntry.n > n).order_by(AuditEntry.n).limit(AT_ONCE))
        ).all()
        if not rows:
            break
        for entry in rows:
            if entry.n != n + 1:
                return n, f"entry {n + 1} is missing"
            n = entry.n
            head = entry_hash(head, n, entry)
            if bytes(entry.hash) != head:
                return n, f"entry {n} ({entry.action} {entry.target}) was changed"
            problem = _head_problem(heads.get(n), head, keys)
            if problem is not None:
                return n, problem
    newest = max(heads, default=0)
    if newest > n:
        return n, f"the end is missing: a signed head says that there were {newest} entries"
    if n and n not in heads:
        return n, f"the signed head of entry {n} is missing"
    return n, None


def _head_problem(signed: Any, head: bytes, keys: list[bytes]) -> str | None:
    if signed is None:
        return None
    if bytes(signed.hash) != head or not is_signed(keys, signed.n, head, bytes(signed.signature)):
        return f"the signed head of entry {signed.n} does not fit: the chain was rebuilt by somebody without the key"
    return None
