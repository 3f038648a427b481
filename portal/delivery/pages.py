"""The sandbox outbox: what would have been sent, as its reader would see it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from litestar import Response, Router, get
from litestar.params import FromPath, FromQuery
from msgspec import Struct

from portal.access import Actor
from portal.db import Database
from portal.delivery.queries import get_sandbox_message_for
from portal.errors import NotFound
from portal.notifications.queries import sandbox_messages_for
from portal.plugin_loader import Registry
from portal.web.guards import require
from portal.web.paging import PAGE_SIZE, decode_cursor, page_of
from portal.web.render import AnyRequest, page, preview

READ: dict[str, Any] = {"guards": [require("sandbox:read")], "opt": {"permission": "sandbox:read"}}
ICONS = {"mail": "mail", "bubble": "message", "json": "code", "text": "file-text"}
LONGEST_EXCERPT = 160


class Shown(Struct, frozen=True, kw_only=True):
    """How a channel's messages are shown: `kind` is mail, bubble, text or json."""

    title: str
    kind: str
    icon: str


@get("/sandbox", **READ)
async def outbox(
    request: AnyRequest,
    db: Database,
    registry: Registry,
    actor: Actor,
    channel: FromQuery[str] = "",
    reference: FromQuery[str] = "",
    cursor: FromQuery[str] = "",
) -> Response[str]:
    after = decode_cursor(cursor)
    async with db.read() as conn:
        rows = await sandbox_messages_for(
            conn, actor, channel=channel or None, reference=reference or None, limit=PAGE_SIZE + 1, after=after
        )
    found = page_of(rows, PAGE_SIZE)
    query = {"channel": channel, "reference": reference, "cursor": cursor}
    channels = [(name, adapter.title) for name, adapter in sorted(registry.channels.items())]
    shown = {row.channel: _shown(registry, row.channel) for row in found.rows}
    excerpts = {row.id: _excerpt(row.message["parts"]) for row in found.rows}
    context: dict[str, Any] = {
        "found": found,
        "query": query,
        "channels": channels,
        "shown": shown,
        "excerpts": excerpts,
    }
    return page(request, "delivery/outbox.html", block="results", **context)


@get("/sandbox/{message_id:uuid}", **READ)
async def message(
    request: AnyRequest, message_id: FromPath[UUID], db: Database, registry: Registry, actor: Actor
) -> Response[str]:
    async with db.read() as conn:
        row = await get_sandbox_message_for(conn, actor, message_id)
    parts = row.message["parts"]
    shown = _shown(registry, row.channel)
    pretty = {name: _pretty_json(text) for name, text in parts.items()} if shown.kind == "json" else parts
    return page(request, "delivery/message.html", row=row, parts=pretty, shown=shown, headers_sent=_headers(row))


@get("/sandbox/{message_id:uuid}/html", **READ)
async def message_html(message_id: FromPath[UUID], db: Database, actor: Actor) -> Response[str]:
    async with db.read() as conn:
        row = await get_sandbox_message_for(conn, actor, message_id)
    html = row.message["parts"].get("html")
    if html is None:
        raise NotFound("HTML part of message", message_id)
    return preview(html)


def _shown(registry: Registry, channel: str) -> Shown:
    """A channel whose plugin is gone is shown as plain text."""
    adapter = registry.channels.get(channel)
    kind = adapter.preview if adapter else "text"
    return Shown(title=adapter.title if adapter else channel, kind=kind, icon=ICONS[kind])


def _excerpt(parts: dict[str, str]) -> str:
    text = " ".join((parts.get("subject") or parts.get("text") or next(iter(parts.values()), "")).split())
    return text if len(text) <= LONGEST_EXCERPT else f"{text[:LONGEST_EXCERPT]}…"


def _pretty_json(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _headers(row: Any) -> dict[str, str]:
    found: dict[str, str] = row.message.get("headers") or {}
    return found


pages_router = Router(path="/", route_handlers=[outbox, message, message_html], include_in_schema=False)
