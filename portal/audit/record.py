"""Recording an action in the transaction that performs it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit.models import AuditEntry
from portal.db import new_id


async def record(
    conn: AsyncConnection,
    actor: Actor,
    action: str,
    target: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add an unchained entry; it commits or vanishes with the caller's transaction.

    `action` is `<noun>.<verb>`, `target` names what it was done to. `before` and `after` hold what changed, never a
    secret or a message body.
    """
    await conn.execute(
        insert(AuditEntry).values(
            id=new_id(),
            # Whole microseconds, as every database keeps them: the hash is made from what is read back.
            at=datetime.now(UTC),
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_name=actor.name[:200],
            action=action,
            target=target[:200],
            before=dict(before) if before is not None else None,
            after=dict(after) if after is not None else None,
        )
    )
