"""The pages of templates: list, editor with preview, versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery

from portal.access import Actor
from portal.db import Database
from portal.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from portal.message_templates.cache import Templates
from portal.message_templates.contract import Contract
from portal.message_templates.create import create_template
from portal.message_templates.edit import (
    Edited,
    change_of,
    edited_form,
    edited_row,
    rows_shown,
    template_of,
    try_out,
)
from portal.message_templates.preview import preview as rendered
from portal.message_templates.queries import get_template, get_version, list_templates, versions_of
from portal.message_templates.render import Renderer
from portal.message_templates.schemas import PreviewIn, PreviewOut, TemplatePatch
from portal.message_templates.update import archive_template, update_template
from portal.plugin_loader import Registry
from portal.preferences.categories import Categories
from portal.web.forms import Field, many, with_errors
from portal.web.guards import require
from portal.web.paging import PAGE_SIZE, decode_cursor, page_of
from portal.web.render import AnyRequest, page, preview, redirect

READ: dict[str, Any] = {"guards": [require("templates:read")], "opt": {"permission": "templates:read"}}
WRITE: dict[str, Any] = {"guards": [require("templates:write")], "opt": {"permission": "templates:write"}}
# A key begins with a letter or digit, so that "-" is free for what is no template.
NEW = "/templates/-/new"
WARNINGS_TOLD = 3
PART_ROWS = {"html": 18, "json": 10, "markdown": 12, "text": 7}


@get("/templates", **READ)
async def listed(
    request: AnyRequest,
    db: Database,
    registry: Registry,
    search: FromQuery[str] = "",
    channel: FromQuery[str] = "",
    archived: FromQuery[str] = "",
    cursor: FromQuery[str] = "",
) -> Response[str]:
    after = decode_cursor(cursor)
    before = (after.at, after.id) if after else None
    async with db.read() as conn:
        rows = await list_templates(
            conn, limit=PAGE_SIZE + 1, before=before, search=search, channel=channel, archived=bool(archived)
        )
    query = {"search": search, "channel": channel, "archived": archived, "cursor": cursor}
    found = page_of(rows, PAGE_SIZE)
    context: dict[str, Any] = {"found": found, "query": query, "channels": _channels(registry)}
    return page(request, "message_templates/list.html", block="results", **context)


@get(NEW, **WRITE)
async def new(
    request: AnyRequest, registry: Registry, renderer: Renderer, categories: Categories, channel: FromQuery[str] = ""
) -> Response[str]:
    chosen = channel if channel in registry.channels else next(iter(sorted(registry.channels)), "")
    parts = {chosen: {"en": dict.fromkeys(registry.channels[chosen].parts, "")}} if chosen else {}
    return await _editor(request, registry, renderer, categories, Edited(parts=parts))


@post(NEW, status_code=200, **WRITE)
async def create(
    request: AnyRequest,
    db: Database,
    registry: Registry,
    renderer: Renderer,
    categories: Categories,
    templates: Templates,
    actor: Actor,
) -> Response[str]:
    form = many(await request.form())
    edited = edited_form(form)
    action = str(form.get("action", "save"))
    try:
        if _rearranged(edited, action, form, registry):
            return await _editor(request, registry, renderer, categories, edited, form=form)
        given = await template_of(edited, registry, renderer.killable, publish=action == "publish")
        warnings = await create_template(db, registry, renderer.killable, actor, given)
    except InvalidInput as error:
        return await _editor(request, registry, renderer, categories, edited, form=form, errors=error.fields)
    except Conflict as error:
        return await _editor(request, registry, renderer, categories, edited, form=form, errors={"key": error.message})
    await templates.refresh(given.key)
    return redirect(request, f"/templates/{given.key}", flash=_saved(given.publish, warnings))


@get("/templates/{key:str}", **READ)
async def editor(
    request: AnyRequest,
    key: FromPath[str],
    db: Database,
    registry: Registry,
    renderer: Renderer,
    categories: Categories,
    section: FromQuery[str] = "",
) -> Response[str]:
    async with db.read() as conn:
        row = await get_template(conn, key)
    return await _editor(request, registry, renderer, categories, edited_row(row), row=row, form={"preview": section})


@post("/templates/{key:str}", status_code=200, **WRITE)
async def save(
    request: AnyRequest,
    key: FromPath[str],
    db: Database,
    registry: Registry,
    renderer: Renderer,
    categories: Categories,
    templates: Templates,
    actor: Actor,
) -> Response[str]:
    async with db.read() as conn:
        row = await get_template(conn, key)
    form = many(await request.form())
    edited = edited_form(form, key)
    action = str(form.get("action", "save"))
    try:
        if _rearranged(edited, action, form, registry):
            return await _editor(request, registry, renderer, categories, edited, row=row, form=form)
        stored = msgspec.convert(row.draft["contract"], Contract)
        change = await change_of(edited, stored, registry, renderer.killable, publish=action == "publish")
        warnings = await update_template(db, registry, renderer.killable, actor, key, change, if_match=edited.revision)
    except (InvalidInput, Conflict, PreconditionFailed) as error:
        fields = error.fields if isinstance(error, InvalidInput) else {"": error.message}
        return await _editor(request, registry, renderer, categories, edited, row=row, form=form, errors=fields)
    await templates.refresh(key)
    return redirect(request, f"/templates/{key}", flash=_saved(change.publish, warnings))


@post("/templates/{key:str}/archive", status_code=200, **WRITE)
async def archive(
    request: AnyRequest, key: FromPath[str], db: Database, templates: Templates, actor: Actor
) -> Response[str]:
    await db.transact(archive_template, actor, key)
    await templates.refresh(key)
    return redirect(request, "/templates", flash=("success", f"{key} is archived; nothing new is sent with it."))


@post("/templates/{key:str}/restore", status_code=200, **WRITE)
async def restore(
    request: AnyRequest,
    key: FromPath[str],
    db: Database,
    registry: Registry,
    renderer: Renderer,
    templates: Templates,
    actor: Actor,
) -> Response[str]:
    await update_template(db, registry, renderer.killable, actor, key, TemplatePatch(archived=False))
    await templates.refresh(key)
    return redirect(request, f"/templates/{key}", flash=("success", f"{key} is in use again."))


@post("/templates/-/preview", status_code=200, **READ)
async def previewed(
    request: AnyRequest, registry: Registry, renderer: Renderer, categories: Categories
) -> Response[str]:
    form = many(await request.form())
    return await _editor(request, registry, renderer, categories, edited_form(form), form=form, block="preview")


@post("/templates/-/preview/mail", status_code=200, **READ)
async def previewed_mail(request: AnyRequest, registry: Registry, renderer: Renderer) -> Response[str]:
    form = many(await request.form())
    edited = edited_form(form)
    channel, locale = _section(edited, form)
    made = await try_out(edited, channel, locale, registry, renderer)
    return preview(made.parts.get("html", ""))


@get("/templates/{key:str}/versions", **READ)
async def versions(request: AnyRequest, key: FromPath[str], db: Database) -> Response[str]:
    async with db.read() as conn:
        row = await get_template(conn, key)
        found = await versions_of(conn, row.id)
    return page(request, "message_templates/versions.html", row=row, versions=found, version=None, shown=None)


@get("/templates/{key:str}/versions/{n:int}", **READ)
async def version(
    request: AnyRequest,
    key: FromPath[str],
    n: FromPath[int],
    db: Database,
    registry: Registry,
    renderer: Renderer,
    section: FromQuery[str] = "",
) -> Response[str]:
    async with db.read() as conn:
        row, chosen = await get_template(conn, key), await get_version(conn, key, n)
        found = await versions_of(conn, row.id)
    sections = [f"{channel}.{locale}" for channel in sorted(chosen.source) for locale in sorted(chosen.source[channel])]
    channel, _, locale = (section if section in sections else sections[0]).partition(".")
    made = await _of_version(db, registry, renderer, key, n, channel, locale)
    shown = {"channel": channel, "locale": locale, "kind": _preview_kind(registry, channel), "made": made}
    context: dict[str, Any] = {"row": row, "versions": found, "version": chosen, "sections": sections, "shown": shown}
    contract = msgspec.convert(chosen.contract, Contract)
    return page(request, "message_templates/versions.html", variables=contract.variables, **context)


@get("/templates/{key:str}/versions/{n:int}/mail", **READ)
async def version_mail(
    key: FromPath[str],
    n: FromPath[int],
    db: Database,
    registry: Registry,
    renderer: Renderer,
    channel: FromQuery[str],
    locale: FromQuery[str],
) -> Response[str]:
    made = await _of_version(db, registry, renderer, key, n, channel, locale)
    if "html" not in made.parts:
        raise NotFound("HTML part in version", n)
    return preview(made.parts["html"])


@post("/templates/{key:str}/versions/{n:int}/restore", status_code=200, **WRITE)
async def version_restored(
    request: AnyRequest,
    key: FromPath[str],
    n: FromPath[int],
    db: Database,
    registry: Registry,
    renderer: Renderer,
    actor: Actor,
) -> Response[str]:
    async with db.read() as conn:
        old = await get_version(conn, key, n)
    change = TemplatePatch(
        parts=old.source, contract=msgspec.convert(old.contract, Contract), default_locale=old.default_locale
    )
    await update_template(db, registry, renderer.killable, actor, key, change)
    flash = ("success", f"The draft is version {n} again. Publish it to use it.")
    return redirect(request, f"/templates/{key}", flash=flash)


async def _editor(
    request: AnyRequest,
    registry: Registry,
    renderer: Renderer,
    categories: Categories,
    edited: Edited,
    *,
    row: Any = None,
    form: Mapping[str, Any] | None = None,
    errors: Mapping[str, str] | None = None,
    block: str | None = None,
) -> Response[str]:
    """The editor with a preview of the chosen section, or of the first."""
    channel, locale = _section(edited, form or {})
    written = any(text.strip() for text in edited.parts.get(channel, {}).get(locale, {}).values())
    made = (
        await try_out(edited, channel, locale, registry, renderer) if written and channel in registry.channels else None
    )
    wrong = dict(errors or {})
    return page(
        request,
        "message_templates/editor.html",
        block=block,
        status=422 if wrong else 200,
        row=row,
        edited=edited,
        facts=_facts(edited, wrong, new=row is None, categories=categories),
        rows=rows_shown(edited.variables),
        registry=registry,
        channels=_channels(registry),
        heights=PART_ROWS,
        errors=wrong,
        section=f"{channel}.{locale}",
        made=made,
        kind=_preview_kind(registry, channel),
    )


def _facts(edited: Edited, errors: Mapping[str, str], *, new: bool, categories: Categories) -> list[Field]:
    known = ", ".join(each.key for each in categories.all()[:6])
    key = Field(
        name="key",
        label="Key",
        help="Systems name the template by it; it never changes.",
        required=True,
        placeholder="order-shipped",
        attributes={"maxlength": "100", "pattern": "[A-Za-z0-9][A-Za-z0-9._\\-]*"},
    )
    lanes = [("", "Medium, the default"), ("high", "High"), ("medium", "Medium"), ("low", "Low")]
    others = [
        Field(name="name", label="Name", help="For people.", required=True, attributes={"maxlength": "200"}),
        Field(
            name="category",
            label="Category",
            help=f"What preferences are about, such as {known}." if known else "What preferences are about.",
            attributes={"maxlength": "60"},
        ),
        Field(name="priority", label="Priority", kind="select", options=lanes),
    ]
    locales = Field(
        name="default_locale",
        label="Default language",
        kind="select",
        options=[(locale, locale) for locale in edited.locales],
        help="For readers whose language is not there.",
    )
    fields = [*([key] if new else []), *others, *([locales] if not new else [])]
    return with_errors(fields, errors, msgspec.structs.asdict(edited))


def _rearranged(edited: Edited, action: str, form: Mapping[str, Any], registry: Registry) -> bool:
    """Carry out a button that only changes the form: add or remove a section. False for the others."""
    if action == "add":
        channel, locale = str(form.get("add_channel", "")), str(form.get("add_locale", "")).strip() or "en"
        if channel not in registry.channels:
            raise InvalidInput({"add_channel": "choose a channel"})
        if "." in locale or locale in edited.parts.get(channel, {}):
            raise InvalidInput({"add_locale": "expected a language such as en or de-AT that is not there yet"})
        edited.parts.setdefault(channel, {})[locale] = dict.fromkeys(registry.channels[channel].parts, "")
        return True
    if action.startswith("remove."):
        _, channel, locale = action.split(".", 2)
        edited.parts.get(channel, {}).pop(locale, None)
        if not edited.parts.get(channel):
            edited.parts.pop(channel, None)
        return True
    return action == "preview"


def _section(edited: Edited, form: Mapping[str, Any]) -> tuple[str, str]:
    """The section that the preview shows: the chosen one, else the first."""
    channel, _, locale = str(form.get("preview", "")).partition(".")
    if (channel, locale) in edited.sections:
        return channel, locale
    return edited.sections[0] if edited.sections else ("", "")


async def _of_version(
    db: Database, registry: Registry, renderer: Renderer, key: str, n: int, channel: str, locale: str
) -> PreviewOut:
    return await rendered(db, registry, renderer, key, PreviewIn(channel=channel, locale=locale, version=n))


def _channels(registry: Registry) -> list[tuple[str, str]]:
    return [(name, adapter.title) for name, adapter in sorted(registry.channels.items())]


def _preview_kind(registry: Registry, channel: str) -> str:
    adapter = registry.channels.get(channel)
    return adapter.preview if adapter else "text"


def _saved(published: bool, warnings: Mapping[str, str]) -> tuple[str, str]:
    text = "Published: new notifications use this version." if published else "Draft saved. Publish it to use it."
    if not warnings:
        return "success", text
    told = "; ".join(f"{path.removeprefix('parts.')}: {said}" for path, said in list(warnings.items())[:WARNINGS_TOLD])
    return "warning", f"{text} {len(warnings)} to look at: {told}"[:600]


pages_router = Router(
    path="/",
    include_in_schema=False,
    route_handlers=[
        listed, new, create, editor, save, archive, restore, previewed, previewed_mail, versions, version, version_mail,
        version_restored,
    ],
)  # fmt: skip
