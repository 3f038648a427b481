"""Reads of what the sandbox accounts kept."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.errors import NotFound
from portal.ledger.models import SandboxMessage

AnyRow = Row[*tuple[Any, ...]]


async def get_sandbox_message_for(conn: AsyncConnection, actor: Actor, message_id: UUID) -> AnyRow:
    """One message; an API key sees those of its own application. Raises `NotFound`."""
    actor.require("sandbox:read")
    statement = select(*SandboxMessage.__table__.columns).where(SandboxMessage.id == message_id)
    if actor.kind == "key":
        statement = statement.where(SandboxMessage.application_id == actor.application_id)
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("sandbox message", message_id)
    return row
