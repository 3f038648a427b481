"""API keys from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import create_key
from portal.access.actor import PERMISSIONS, SYSTEM
from portal.access.applications import ensure_application
from portal.audit import record
from portal.db import Database
from portal.errors import InvalidInput
from portal.settings import Settings

# What a system that designs its own templates and sends with them needs.
SENDING = (
    "notifications:send", "notifications:read", "notifications:write", "templates:read", "templates:write",
    "people:read", "people:write", "sandbox:read",
)  # fmt: skip


async def create(settings: Settings, name: str, *, application: str, scopes: Sequence[str], test: bool) -> str:
    """A new key's clear text, shown this once."""
    unknown = [scope for scope in scopes if scope not in PERMISSIONS]
    if unknown:
        raise InvalidInput({"scopes": f"unknown: {', '.join(unknown)}; known are {', '.join(PERMISSIONS)}"})
    db = Database(settings.database, pool=2)
    try:
        return await db.transact(_create, name, application, list(scopes or SENDING), "test" if test else "live")
    finally:
        await db.close()


async def _create(
    conn: AsyncConnection, name: str, application: str, scopes: list[str], mode: Literal["live", "test"]
) -> str:
    application_id = await ensure_application(conn, application)
    key_id, clear = await create_key(conn, application_id, name, mode, scopes, None)
    await record(
        conn, SYSTEM, "key.create", str(key_id), None, {"name": name, "application": application, "mode": mode}
    )
    return clear
