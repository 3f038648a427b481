"""Reads: the audit, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.audit.models import AuditEntry


class AuditFilter(Struct, frozen=True, kw_only=True):
    """What to show; empty means all. `action` and `target` match from their start, `actor` anywhere in the name."""

    action: str = ""
    actor: str = ""
    target: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def entries(conn: AsyncConnection, wanted: AuditFilter, limit: int, after: Any | None = None) -> Sequence[Any]:
    """Up to `limit` entries before the cursor `after` (with `at` and `id`)."""
    statement = select(*AuditEntry.__table__.columns)
    if wanted.action:
        statement = statement.where(AuditEntry.action.startswith(wanted.action, autoescape=True))
    if wanted.target:
        statement = statement.where(AuditEntry.target.startswith(wanted.target, autoescape=True))
    if wanted.actor:
        statement = statement.where(AuditEntry.actor_name.contains(wanted.actor, autoescape=True))
    if wanted.since:
        statement = statement.where(AuditEntry.created_at >= wanted.since)
    if wanted.until:
        statement = statement.where(AuditEntry.created_at < wanted.until)
    if after is not None:
        same = and_(AuditEntry.created_at == after.at, AuditEntry.id < after.id)
        statement = statement.where(or_(AuditEntry.created_at < after.at, same))
    ordered = statement.order_by(AuditEntry.created_at.desc(), AuditEntry.id.desc())
    return (await conn.execute(ordered.limit(limit))).all()
