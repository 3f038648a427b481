"""Slow down guessing: per account (whatever the address) and per address (whatever the account).

Counters are in the database, so all processes share them and a restart forgets nothing. Nobody is locked out for good:
the longest wait is a quarter of an hour, and a one-time link works meanwhile.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import Database, bulk, db_now
from portal.errors import TooMany
from portal.identity.models import SignInFailure
from portal.sealing import Keyring

# Failures that cost nothing, then the wait doubles from one second on.
FREE = {"account": 5, "address": 30}
LONGEST_SECONDS = 900.0
FORGET_SECONDS = 3600.0


def keys_for(keyring: Keyring, email: str, address: str) -> list[str]:
    """What is counted for one try. An unknown account is counted like a known one."""
    pairs = [("account", email), ("address", address or "unknown")]
    return [f"{kind}:{_keyed(keyring, text)}" for kind, text in pairs]


async def refuse_when_blocked(db: Database, keys: Sequence[str]) -> None:
    """Return when a try is allowed; raise `TooMany` with the wait otherwise."""
    async with db.read() as conn:
        until = (
            await conn.execute(
                select(func.max(SignInFailure.blocked_until)).where(
                    SignInFailure.key.in_(keys), SignInFailure.blocked_until > db_now()
                )
            )
        ).scalar_one_or_none()
    if until is not None:
        wait = max(1.0, (until - datetime.now(UTC)).total_seconds())
        raise TooMany(
            f"Too many failed tries. Wait {_words(wait)}, or ask for a one-time link.",
            retry_after=wait,
            code="sign_in_throttled",
        )


async def note_failure(conn: AsyncConnection, keys: Sequence[str]) -> None:
    """Count a failed try, and block what has failed too often."""
    for key in sorted(keys):
        await bulk.insert_ignore(conn, SignInFailure, [{"key": key, "failures": 0, "last_at": datetime.now(UTC)}])
        old = SignInFailure.last_at < db_now(-FORGET_SECONDS)
        await conn.execute(update(SignInFailure).where(SignInFailure.key == key, old).values(failures=0))
        await conn.execute(
            update(SignInFailure)
            .where(SignInFailure.key == key)
            .values(failures=SignInFailure.failures + 1, last_at=db_now())
        )
        count = (await conn.execute(select(SignInFailure.failures).where(SignInFailure.key == key))).scalar_one()
        wait = wait_after(count, FREE[key.split(":", 1)[0]])
        if wait:
            blocked = update(SignInFailure).where(SignInFailure.key == key).values(blocked_until=db_now(wait))
            await conn.execute(blocked)


async def note_success(conn: AsyncConnection, keys: Sequence[str]) -> None:
    """The account is in the right hands: forget its failures, not those of the address."""
    await conn.execute(delete(SignInFailure).where(SignInFailure.key == keys[0]))


async def forget_old_failures(conn: AsyncConnection) -> None:
    """Delete counters that no longer count; meant for once an hour."""
    over = or_(SignInFailure.blocked_until.is_(None), SignInFailure.blocked_until < db_now())
    await conn.execute(delete(SignInFailure).where(SignInFailure.last_at < db_now(-FORGET_SECONDS), over))


def wait_after(failures: int, free: int) -> float:
    """Seconds to wait after so many failures: 0 for the free ones, then 1, 2, 4, … up to a quarter of an hour."""
    if failures < free:
        return 0.0
    return min(LONGEST_SECONDS, 2.0 ** min(failures - free, 20))


def _keyed(keyring: Keyring, text: str) -> str:
    return hmac.new(keyring.derive("hashes"), f"sign-in\0{text}".encode(), hashlib.sha256).hexdigest()[:40]


def _words(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
