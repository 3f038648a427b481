"""Create and revoke API keys."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access.actor import PERMISSIONS
from portal.access.models import ApiKey
from portal.db import bump, db_now, new_id
from portal.errors import InvalidInput, NotFound

KEY_BYTES = 32
# What lists and logs may show: enough to tell keys apart, nothing to guess from.
PREFIX_LENGTH = len("pp_live_") + 4


async def create_key(
    conn: AsyncConnection,
    application_id: UUID,
    name: str,
    mode: Literal["live", "test"],
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    rate_per_second: float | None = None,
) -> tuple[UUID, str]:
    """A new key as `(id, clear text)`; the clear text is nowhere else and cannot be shown again.

    Every process knows the key at the latest 250 ms after the commit, and sooner when the key is used.
    """
    scopes = sorted(set(scopes))
    _check(name, mode, scopes)
    key_id, token = new_id(), f"pp_{mode}_{secrets.token_urlsafe(KEY_BYTES)}"
    row = {
        "id": key_id,
        "application_id": application_id,
        "name": name.strip(),
        "mode": mode,
        "prefix": token[:PREFIX_LENGTH],
        "sha256": digest(token),
        "scopes": scopes,
        "expires_at": expires_at,
        "rate_per_second": rate_per_second,
    }
    await conn.execute(insert(ApiKey).values(row))
    await bump(conn, "keys")
    return key_id, token


async def revoke_key(conn: AsyncConnection, key_id: UUID) -> None:
    """The key stops working: everywhere within a second of the commit. Revoking twice keeps the first time."""
    changed = await conn.execute(
        update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=db_now())
    )
    if not changed.rowcount:
        raise NotFound("API key in use with id", key_id)
    await bump(conn, "keys")


def digest(token: str) -> str:
    """What is stored and looked up instead of the key."""
    return hashlib.sha256(token.encode()).hexdigest()


def _check(name: str, mode: str, scopes: list[str]) -> None:
    wrong = {}
    if not 1 <= len(name.strip()) <= 200:
        wrong["name"] = "expected 1 to 200 characters"
    if mode not in ("live", "test"):
        wrong["mode"] = "expected live or test"
    unknown = [scope for scope in scopes if scope not in PERMISSIONS]
    if unknown or not scopes:
        wrong["scopes"] = f"expected any of {', '.join(PERMISSIONS)}"
    if wrong:
        raise InvalidInput(wrong)
