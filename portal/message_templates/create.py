"""Create a template, published at once where the author says so."""

from __future__ import annotations

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, bump, new_id
from portal.errors import Conflict
from portal.message_templates.draft import Draft, prepare
from portal.message_templates.killable import Killable
from portal.message_templates.models import Template
from portal.message_templates.publish import insert_version
from portal.message_templates.queries import key_is_taken
from portal.message_templates.schemas import TemplateIn
from portal.plugin_loader import Registry
from portal.preferences.categories import ensure_category


async def create_template(
    db: Database, registry: Registry, killable: Killable, actor: Actor, given: TemplateIn
) -> dict[str, str]:
    """Store a new template (and its first version); afterwards it is complete or not there at all.

    Returns warnings by field. Raises `InvalidInput`, and `Conflict` when the key is taken, also by an archived template.
    """
    draft = await prepare(
        given.parts,
        registry=registry,
        killable=killable,
        declared=given.contract,
        default_locale=given.default_locale,
    )
    try:
        await db.transact(_store, actor, given, draft)
    except IntegrityError:
        raise _taken(given.key) from None
    return draft.warnings


async def _store(conn: AsyncConnection, actor: Actor, given: TemplateIn, draft: Draft) -> None:
    if await key_is_taken(conn, given.key):
        raise _taken(given.key)
    if given.category is not None:
        await ensure_category(conn, given.category)
    template_id = new_id()
    values = {
        "name": given.name or given.key,
        "category": given.category,
        "priority": given.priority,
        "default_locale": draft.default_locale,
    }
    row = {"id": template_id, "key": given.key, "draft": draft.stored(), "revision": 1, **values}
    await conn.execute(insert(Template).values(**row))
    version = await insert_version(conn, template_id, draft, actor) if given.publish else None
    await bump(conn, "templates")
    after = {**values, "channels": sorted(draft.parts), "version": version}
    await record(conn, actor, "template.create", f"template/{given.key}", None, after)


def _taken(key: str) -> Conflict:
    return Conflict(f"There is a template {key} already; change it, or choose another key.", code="template_exists")
