"""The JSON API of templates."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, Router, delete, get, patch, post, put
from litestar.params import FromPath, FromQuery

from portal.access import Actor
from portal.db import Database
from portal.message_templates.cache import Templates
from portal.message_templates.create import create_template
from portal.message_templates.preview import preview
from portal.message_templates.publish import publish_template
from portal.message_templates.queries import AnyRow, get_template, get_version, list_templates, versions_of
from portal.message_templates.render import Renderer
from portal.message_templates.schemas import (
    PreviewIn,
    PreviewOut,
    TemplateIn,
    TemplateList,
    TemplateListed,
    TemplateOut,
    TemplatePatch,
    TemplatePut,
    VersionListed,
    VersionOut,
)
from portal.message_templates.update import archive_template, update_template, whole
from portal.plugin_loader import Registry
from portal.web.documented import problems
from portal.web.guards import require
from portal.web.if_match import IfMatch, etag, revision_of
from portal.web.paging import MAX_PAGE_SIZE, PAGE_SIZE, decode_cursor, page_of

READ: dict[str, Any] = {"guards": [require("templates:read")], "opt": {"permission": "templates:read"}}
WRITE: dict[str, Any] = {"guards": [require("templates:write")], "opt": {"permission": "templates:write"}}


@post("/", summary="Create a template", **WRITE)
async def create(
    data: TemplateIn, db: Database, registry: Registry, renderer: Renderer, templates: Templates, actor: Actor
) -> Response[TemplateOut]:
    warnings = await create_template(db, registry, renderer.killable, actor, data)
    return await _shown(db, templates, data.key, warnings, status=201)


@get("/", summary="List templates", **READ)
async def listed(
    db: Database,
    search: FromQuery[str] = "",
    channel: FromQuery[str] = "",
    archived: FromQuery[bool] = False,
    limit: FromQuery[int] = PAGE_SIZE,
    cursor: FromQuery[str | None] = None,
) -> TemplateList:
    size = min(max(limit, 1), MAX_PAGE_SIZE)
    after = decode_cursor(cursor)
    before = (after.at, after.id) if after else None
    async with db.read() as conn:
        rows = await list_templates(
            conn, limit=size + 1, before=before, search=search, channel=channel, archived=archived
        )
    page = page_of(rows, size)
    return TemplateList([_listed(row) for row in page.rows], page.next)


@get("/{key:str}", summary="Get a template", **READ)
async def one(db: Database, key: FromPath[str]) -> Response[TemplateOut]:
    return await _shown(db, None, key, {})


@put("/{key:str}", summary="Replace a template's draft", **WRITE)
async def replace(
    key: FromPath[str],
    data: TemplatePut,
    db: Database,
    registry: Registry,
    renderer: Renderer,
    templates: Templates,
    actor: Actor,
    if_match: IfMatch = None,
) -> Response[TemplateOut]:
    matching = revision_of(if_match)
    warnings = await update_template(db, registry, renderer.killable, actor, key, whole(data), if_match=matching)
    return await _shown(db, templates, key, warnings)


@patch("/{key:str}", summary="Change a template's draft", **WRITE)
async def change(
    key: FromPath[str],
    data: TemplatePatch,
    db: Database,
    registry: Registry,
    renderer: Renderer,
    templates: Templates,
    actor: Actor,
    if_match: IfMatch = None,
) -> Response[TemplateOut]:
    matching = revision_of(if_match)
    warnings = await update_template(db, registry, renderer.killable, actor, key, data, if_match=matching)
    return await _shown(db, templates, key, warnings)


@post(
    "/{key:str}/publish",
    summary="Publish the draft",
    status_code=200,
    responses=problems(412),
    **WRITE,
)
async def publish(
    key: FromPath[str],
    db: Database,
    registry: Registry,
    renderer: Renderer,
    templates: Templates,
    actor: Actor,
    if_match: IfMatch = None,
) -> Response[TemplateOut]:
    warnings = await publish_template(db, registry, renderer.killable, actor, key, if_match=revision_of(if_match))
    return await _shown(db, templates, key, warnings)


@delete("/{key:str}", summary="Archive a template", status_code=204, **WRITE)
async def archive(
    key: FromPath[str], db: Database, templates: Templates, actor: Actor, if_match: IfMatch = None
) -> None:
    await db.transact(archive_template, actor, key, if_match=revision_of(if_match))
    await templates.refresh(key)


@get("/{key:str}/versions", summary="List a template's versions", **READ)
async def versions(key: FromPath[str], db: Database) -> list[VersionListed]:
    async with db.read() as conn:
        rows = await versions_of(conn, (await get_template(conn, key)).id)
    return [VersionListed(version=row.n, **_fields(row, VersionListed, "version")) for row in rows]


@get("/{key:str}/versions/{n:int}", summary="Get a version", **READ)
async def version(key: FromPath[str], n: FromPath[int], db: Database) -> VersionOut:
    async with db.read() as conn:
        row = await get_version(conn, key, n)
    return VersionOut(
        id=row.id,
        version=row.n,
        channels=row.channels,
        published_at=row.published_at,
        published_by=row.published_by,
        default_locale=row.default_locale,
        parts=row.source,
        rendered_from=row.parts,
        contract=row.contract,
    )


@post(
    "/{key:str}/preview",
    summary="Render a draft or a version",
    status_code=200,
    **READ,
)
async def previewed(
    key: FromPath[str], data: PreviewIn, db: Database, registry: Registry, renderer: Renderer
) -> PreviewOut:
    return await preview(db, registry, renderer, key, data)


async def _shown(
    db: Database, templates: Templates | None, key: str, warnings: dict[str, str], *, status: int = 200
) -> Response[TemplateOut]:
    """The template as it is now; with `templates`, this process's cache learns of it too."""
    if templates is not None:
        await templates.refresh(key)
    async with db.read() as conn:
        row = await get_template(conn, key)
    shown = TemplateOut(
        parts=row.draft["parts"],
        contract=row.draft["contract"],
        warnings=warnings,
        version_id=row.current_version_id,
        channels=sorted(row.draft["parts"]),
        archived=row.archived_at is not None,
        **_fields(row, TemplateOut, "parts", "contract", "warnings", "version_id", "channels", "archived"),
    )
    return Response(shown, status_code=status, headers=etag(row.revision))


def _listed(row: AnyRow) -> TemplateListed:
    given: dict[str, Any] = {
        "channels": row.channels or sorted(row.draft["parts"]),
        "archived": row.archived_at is not None,
    }
    return TemplateListed(**given, **_fields(row, TemplateListed, *given))


def _fields(row: AnyRow, shape: type[msgspec.Struct], *but: str) -> dict[str, Any]:
    """The columns of a row that a shape has under the same name."""
    return {name: getattr(row, name) for name in shape.__struct_fields__ if name not in but}


api_router = Router(
    path="/templates",
    route_handlers=[create, listed, one, replace, change, publish, archive, versions, version, previewed],
    tags=["Templates"],
)
