"""Write down a change, in the transaction that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit.models import AuditEntry
from portal.db import db_now, new_id

# Values under such names are never written down, whatever a caller passes.
SECRET_WORDS = ("password", "secret", "token", "credential", "private")
HIDDEN = "•••"


async def record(
    conn: AsyncConnection,
    actor: Actor,
    action: str,
    target: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """An entry that is there exactly when the caller's transaction commits.

    `action` is `noun.verb` (`api_key.create`), `target` is `noun/id`; `before` and `after` hold only what changed.
    """
    await conn.execute(
        insert(AuditEntry).values(
            id=new_id(),
            created_at=db_now(),
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_name=actor.name[:254],
            action=action,
            target=target[:254],
            before=_plain(before),
            after=_plain(after),
        )
    )


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """JSON values only, so that what is hashed now is what is read later."""
    return None if values is None else {name: _hide(name, value) for name, value in values.items()}


def _hide(name: str, value: Any) -> Any:
    if value is not None and any(word in name.lower() for word in SECRET_WORDS):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(inner): _hide(str(inner), part) for inner, part in value.items()}
    return msgspec.to_builtins(value, str_keys=True)
