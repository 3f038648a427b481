"""Publish a draft: from then on it is a version that never changes."""

from __future__ import annotations

from uuid import UUID

import msgspec
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, bump, db_now, new_id
from portal.errors import Conflict, PreconditionFailed
from portal.message_templates.contract import Contract
from portal.message_templates.draft import Draft, prepare
from portal.message_templates.killable import Killable
from portal.message_templates.models import Template, TemplateVersion
from portal.message_templates.queries import AnyRow, get_template
from portal.plugin_loader import Registry


async def publish_template(
    db: Database, registry: Registry, killable: Killable, actor: Actor, key: str, *, if_match: int | None = None
) -> dict[str, str]:
    """Make the draft the current version; returns warnings by field.

    Raises `NotFound`, `InvalidInput` when the draft does not fit its channels any more, `PreconditionFailed` when
    `if_match` is not the revision of the draft, and `Conflict` when it changes at the same time or is archived.
    """
    async with db.read() as conn:
        row = await get_template(conn, key)
    check_revision(row, if_match)
    draft = await prepare(
        row.draft["parts"],
        registry=registry,
        killable=killable,
        declared=msgspec.convert(row.draft["contract"], Contract),
        default_locale=row.default_locale,
    )
    await db.transact(_publish, actor, key, row.revision, draft)
    return draft.warnings


async def _publish(conn: AsyncConnection, actor: Actor, key: str, revision: int, draft: Draft) -> None:
    row = await get_template(conn, key, lock=True)
    if row.revision != revision:
        raise Conflict(f"The template {key} changed while it was being published; look at it again.")
    if row.archived_at is not None:
        raise Conflict(f"The template {key} is archived; restore it first.", code="archived")
    version = await insert_version(conn, row.id, draft, actor)
    await bump(conn, "templates")
    await record(conn, actor, "template.publish", f"template/{key}", {"version": row.version}, {"version": version})


async def insert_version(conn: AsyncConnection, template_id: UUID, draft: Draft, actor: Actor) -> int:
    """Store the draft as the next version and make it the current one; returns its number."""
    last = select(func.max(TemplateVersion.n)).where(TemplateVersion.template_id == template_id)
    n = ((await conn.execute(last)).scalar() or 0) + 1
    version_id = new_id()
    version = {
        "id": version_id,
        "template_id": template_id,
        "n": n,
        "source": draft.source,
        "parts": draft.parts,
        "kinds": msgspec.to_builtins(draft.kinds),
        "channels": sorted(draft.parts),
        "contract": msgspec.to_builtins(draft.contract),
        "default_locale": draft.default_locale,
        "published_by": actor.name,
    }
    await conn.execute(insert(TemplateVersion).values(**version))
    current = {"current_version_id": version_id, "updated_at": db_now()}
    await conn.execute(update(Template).where(Template.id == template_id).values(**current))
    return n


def check_revision(row: AnyRow, if_match: int | None) -> None:
    """Raise `PreconditionFailed` when the caller saw another revision of the draft."""
    if if_match is not None and row.revision != if_match:
        raise PreconditionFailed(
            f"The template {row.key} has the revision {row.revision}, not {if_match}: somebody changed it meanwhile."
        )
