"""Give out and withdraw API keys on somebody's behalf: within their own rights, and written down."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor, create_key, revoke_key
from portal.access.applications import ensure_application
from portal.access.queries import application_by_key, key_of
from portal.audit import record
from portal.errors import InvalidInput, NotFound

APPLICATION_KEY = re.compile(r"\A[a-z0-9][a-z0-9._-]{0,99}\Z")


async def issue_key(
    conn: AsyncConnection,
    actor: Actor,
    *,
    application: str,
    name: str,
    mode: Any,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
) -> str:
    """The clear text of a new key for the application with this key, which is created when there is none.

    Raises `InvalidInput` for a scope that the actor does not hold: nobody can make a key that may do more than they.
    """
    beyond = [scope for scope in scopes if not actor.may(scope)]
    if beyond:
        raise InvalidInput({"scopes": f"expected only what you may do yourself, got {', '.join(sorted(beyond))}"})
    key = application.strip().lower()
    if not APPLICATION_KEY.match(key):
        raise InvalidInput({"application": "expected small letters, digits, dots, dashes and underscores"})
    is_new = await application_by_key(conn, key) is None
    application_id = await ensure_application(conn, key, application.strip())
    if is_new:
        await record(conn, actor, "application.create", f"application/{application_id}", None, {"key": key})
    key_id, clear = await create_key(conn, application_id, name, mode, scopes, expires_at)
    change = {"name": name, "application": key, "mode": mode, "scopes": sorted(scopes), "expires_at": expires_at}
    await record(conn, actor, "api_key.create", f"api_key/{key_id}", None, change)
    return clear


async def withdraw_key(conn: AsyncConnection, actor: Actor, key_id: UUID) -> None:
    """The key stops working within a second, everywhere."""
    key = await key_of(conn, key_id)
    if key is None:
        raise NotFound("API key", key_id)
    await revoke_key(conn, key_id)
    await record(conn, actor, "api_key.revoke", f"api_key/{key_id}", {"name": key.name, "prefix": key.prefix}, None)
