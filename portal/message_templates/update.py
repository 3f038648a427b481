"""Change a template's draft or its facts; archive and restore it."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, bump, db_now
from portal.errors import Conflict
from portal.message_templates.contract import Contract
from portal.message_templates.draft import Draft, prepare
from portal.message_templates.killable import Killable
from portal.message_templates.models import Template
from portal.message_templates.publish import check_revision, insert_version
from portal.message_templates.queries import AnyRow, get_template
from portal.message_templates.schemas import TemplatePatch, TemplatePut
from portal.plugin_loader import Registry
from portal.preferences.categories import ensure_category


async def update_template(
    db: Database,
    registry: Registry,
    killable: Killable,
    actor: Actor,
    key: str,
    change: TemplatePatch,
    *,
    if_match: int | None = None,
) -> dict[str, str]:
    """Change what `change` names, and publish it where it says so; returns warnings by field.

    Name, category and priority hold for new notifications at once, content only with the next version. Raises
    `NotFound`, `InvalidInput`, `PreconditionFailed`, and `Conflict` when somebody else changes the draft meanwhile.
    """
    async with db.read() as conn:
        row = await get_template(conn, key)
    check_revision(row, if_match)
    draft = await _drafted(row, change, registry, killable)
    await db.transact(_store, actor, row, change, draft)
    return draft.warnings


def whole(given: TemplatePut) -> TemplatePatch:
    """A change that replaces everything, what was left out by its default."""
    contract = given.contract if given.contract is not None else None
    return TemplatePatch(
        name=given.name if given.name is not None else UNSET,
        parts=given.parts,
        category=given.category,
        priority=given.priority,
        default_locale=given.default_locale if given.default_locale is not None else UNSET,
        contract=contract,
        publish=given.publish,
    )


async def _drafted(row: AnyRow, change: TemplatePatch, registry: Registry, killable: Killable) -> Draft:
    """The draft as it will be. A contract of null is taken from the templates anew; one left out is carried on."""
    stored = msgspec.convert(row.draft["contract"], Contract)
    parts = row.draft["parts"] if change.parts is UNSET else change.parts
    locales = {locale for channel in parts.values() for locale in channel}
    kept_locale = row.default_locale if row.default_locale in locales else None
    return await prepare(
        parts,
        registry=registry,
        killable=killable,
        declared=None if change.contract is UNSET else change.contract,
        kept=stored if change.contract is UNSET else None,
        default_locale=kept_locale if change.default_locale is UNSET else change.default_locale,
    )


async def _store(conn: AsyncConnection, actor: Actor, seen: AnyRow, change: TemplatePatch, draft: Draft) -> None:
    row = await get_template(conn, seen.key, lock=True)
    if row.revision != seen.revision:
        raise Conflict(f"The template {seen.key} changed at the same time; look at it again.")
    if row.archived_at is not None and change.archived is UNSET:
        raise Conflict(f"The template {seen.key} is archived; restore it first.", code="archived")
    values: dict[str, Any] = {
        name: value for name in ("name", "category", "priority") if (value := getattr(change, name)) is not UNSET
    }
    if values.get("category") is not None:
        await ensure_category(conn, values["category"])
    facts = {**values, "default_locale": draft.default_locale}
    await _write(conn, row, {**facts, "draft": draft.stored(), "archived_at": None})
    version = await insert_version(conn, row.id, draft, actor) if change.publish else row.version
    await bump(conn, "templates")
    before = {name: getattr(row, name) for name in facts} | {"revision": row.revision, "version": row.version}
    after = facts | {"revision": row.revision + 1, "version": version}
    await record(conn, actor, "template.update", f"template/{row.key}", before, after)


async def _write(conn: AsyncConnection, row: AnyRow, values: dict[str, Any]) -> None:
    raised = {"revision": row.revision + 1, "updated_at": db_now(), **values}
    await conn.execute(update(Template).where(Template.id == row.id).values(**raised))


async def archive_template(conn: AsyncConnection, actor: Actor, key: str, *, if_match: int | None = None) -> None:
    """Take a template out of use: no new notification finds it; what was accepted is still sent. Doing it twice is fine.

    Raises `NotFound` and `PreconditionFailed`.
    """
    row = await get_template(conn, key, lock=True)
    check_revision(row, if_match)
    if row.archived_at is not None:
        return
    await _write(conn, row, {"archived_at": db_now()})
    await bump(conn, "templates")
    await record(conn, actor, "template.archive", f"template/{key}", {"archived": False}, {"archived": True})
