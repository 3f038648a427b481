"""Reads of templates and versions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.errors import NotFound
from portal.message_templates.models import Template, TemplateVersion

AnyRow = Row[*tuple[Any, ...]]
TEMPLATE = Template.__table__
VERSION = TemplateVersion.__table__
_WITH_VERSION = (
    *TEMPLATE.c,
    VERSION.c.n.label("version"),
    VERSION.c.channels,
    VERSION.c.contract.label("published_contract"),
    VERSION.c.published_at,
    VERSION.c.published_by,
)
_JOINED = TEMPLATE.outerjoin(VERSION, TEMPLATE.c.current_version_id == VERSION.c.id)
_ENTRY = (
    TEMPLATE.c.id,
    TEMPLATE.c.key,
    TEMPLATE.c.name,
    TEMPLATE.c.category,
    TEMPLATE.c.priority,
    TEMPLATE.c.current_version_id.label("version_id"),
    VERSION.c.n,
    VERSION.c.channels,
    VERSION.c.contract,
    VERSION.c.default_locale,
)


async def list_templates(
    conn: AsyncConnection,
    *,
    limit: int,
    before: tuple[Any, UUID] | None = None,
    search: str = "",
    channel: str = "",
    archived: bool = False,
) -> Sequence[AnyRow]:
    """Templates with their current version, newest first, at most `limit`; `before` is (created_at, id) of the last
    row of the page before. `search` is a part of key or name."""
    statement = select(*_WITH_VERSION).select_from(_JOINED).order_by(TEMPLATE.c.created_at.desc(), TEMPLATE.c.id.desc())
    if not archived:
        statement = statement.where(TEMPLATE.c.archived_at.is_(None))
    if search:
        found = or_(
            TEMPLATE.c.key.icontains(search, autoescape=True), TEMPLATE.c.name.icontains(search, autoescape=True)
        )
        statement = statement.where(found)
    if channel:
        statement = statement.where(VERSION.c.channels.contains(f'"{channel}"', autoescape=True))
    if before is not None:
        at, last = before
        older = or_(TEMPLATE.c.created_at < at, and_(TEMPLATE.c.created_at == at, TEMPLATE.c.id < last))
        statement = statement.where(older)
    return (await conn.execute(statement.limit(limit))).all()


async def get_template(conn: AsyncConnection, key: str, *, lock: bool = False) -> AnyRow:
    """The template of this key (or id) with its current version; raises `NotFound`.

    With `lock` the row stays as it is until the caller's transaction ends.
    """
    statement = select(*_WITH_VERSION).select_from(_JOINED).where(TEMPLATE.c.key == key)
    if lock:
        statement = statement.with_for_update(of=TEMPLATE)
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("template", key)
    return row


async def key_is_taken(conn: AsyncConnection, key: str) -> bool:
    """True when a template has this key, archived ones included."""
    return (await conn.execute(select(TEMPLATE.c.id).where(TEMPLATE.c.key == key))).first() is not None


async def versions_of(conn: AsyncConnection, template_id: UUID) -> Sequence[AnyRow]:
    """Every version without its content, newest first."""
    columns = (VERSION.c.id, VERSION.c.n, VERSION.c.channels, VERSION.c.published_at, VERSION.c.published_by)
    statement = select(*columns).where(VERSION.c.template_id == template_id).order_by(VERSION.c.n.desc())
    return (await conn.execute(statement)).all()


async def get_version(conn: AsyncConnection, key: str, n: int) -> AnyRow:
    """One version in full; raises `NotFound`."""
    joined = VERSION.join(TEMPLATE, VERSION.c.template_id == TEMPLATE.c.id)
    statement = select(VERSION).select_from(joined).where(TEMPLATE.c.key == key, VERSION.c.n == n)
    # A number that no database can hold is the number of no version.
    row = (await conn.execute(statement)).first() if 0 < n < 2**31 else None
    if row is None:
        raise NotFound("version", f"{n} of the template {key}")
    return row


async def versions_by_id(conn: AsyncConnection, ids: Collection[UUID]) -> Sequence[AnyRow]:
    """Versions in full, with the key of their template."""
    joined = VERSION.join(TEMPLATE, VERSION.c.template_id == TEMPLATE.c.id)
    statement = select(VERSION, TEMPLATE.c.key).select_from(joined).where(VERSION.c.id.in_(list(ids)))
    return (await conn.execute(statement)).all()


async def current_entries(conn: AsyncConnection, keys: Collection[str] | None = None) -> Sequence[AnyRow]:
    """What the cache holds of every published template that is not archived (or of those with these keys)."""
    joined = TEMPLATE.join(VERSION, TEMPLATE.c.current_version_id == VERSION.c.id)
    statement = select(*_ENTRY).select_from(joined).where(TEMPLATE.c.archived_at.is_(None))
    if keys is not None:
        statement = statement.where(TEMPLATE.c.key.in_(list(keys)))
    return (await conn.execute(statement)).all()
