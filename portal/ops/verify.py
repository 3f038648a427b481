"""Proofs from the command line."""

from __future__ import annotations

from portal.audit import verify
from portal.db import Database
from portal.sealing import Keyring
from portal.settings import Settings

# Sealing happens within a second; a tail this old means that no worker runs.
TAIL_SECONDS = 60.0


async def audit(settings: Settings) -> tuple[bool, str]:
    """Whether the audit's chain is intact, and what was found, in a few lines."""
    db = Database(settings.database, pool=2)
    try:
        verdict = await verify(db, Keyring.from_settings(settings))
    finally:
        await db.close()
    lines = [verdict.broken or f"{verdict.entries} entries, {verdict.heads} signed heads: intact"]
    if verdict.entries:
        lines.append(f"last: entry {verdict.last_seq}, {verdict.last_hash}")
    if verdict.unsealed:
        lines.append(f"{verdict.unsealed} entries wait to be sealed, the oldest for {verdict.unsealed_seconds:.0f} s")
    return not verdict.broken and verdict.unsealed_seconds < TAIL_SECONDS, "\n".join(lines)
