"""The JSON API of some features over a real database, without a server: for tests of handlers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide

from portal.access import KeyCache, create_key
from portal.access.actor import PERMISSIONS
from portal.access.applications import ensure_application
from portal.db import Database, Revisions
from portal.message_templates import Renderer, Templates
from portal.plugin_loader import Registry, load
from portal.sealing import Keyring
from portal.settings import Settings
from portal.web.visit import VisitMiddleware
from portal.web.wiring import DEPENDENCIES, EXCEPTION_HANDLERS

ROOT = Path(__file__).parents[1]


@asynccontextmanager
async def api(
    settings: Settings,
    db: Database,
    routers: Sequence[Router],
    *,
    scopes: Sequence[str] = tuple(PERMISSIONS),
    **more: Any,
) -> AsyncIterator[ApiPeer]:
    """A client that holds an API key with these scopes."""
    revisions = Revisions(db)
    await revisions.poll()
    keys, templates, renderer = KeyCache(db, revisions), Templates(db, revisions), Renderer()
    registry = load(settings)
    given = {"db": db, "settings": settings, "registry": registry, "templates": templates, "renderer": renderer, **more}
    app = Litestar(
        [Router("/api/v1", route_handlers=list(routers))],
        dependencies={**DEPENDENCIES, **{name: _provide(value) for name, value in given.items()}},
        exception_handlers=EXCEPTION_HANDLERS,
        state=State({"settings": settings, "db": db, "keyring": Keyring.from_settings(settings), "keys": keys}),
    )
    async with db.write() as conn:
        application = await ensure_application(conn, "shop")
        _, token = await create_key(conn, application, "test", "live", scopes)
    await revisions.start()
    transport = httpx2.ASGITransport(app=VisitMiddleware(app, app.state, settings))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://portal.test", headers=headers) as client:
        yield ApiPeer(client, registry, templates, renderer, revisions)
    await renderer.close()
    await revisions.stop()


class ApiPeer:
    """The client and what stands behind it."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        registry: Registry,
        templates: Templates,
        renderer: Renderer,
        revisions: Revisions,
    ) -> None:
        self.client = client
        self.registry = registry
        self.templates = templates
        self.renderer = renderer
        self.revisions = revisions

    async def ask(self, method: str, path: str, body: Any = None, *, status: int, **headers: str) -> Any:
        """The JSON of an answer that has this status; header names are given with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(method, f"/api/v1{path}", json=body, headers=named)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def problems(self, method: str, path: str, body: Any, *, status: int = 400) -> dict[str, str]:
        """Field → message of a refused request."""
        found = await self.ask(method, path, body, status=status)
        return {each["field"]: each["message"] for each in found.get("errors", [])}


def _provide(value: Any) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)
