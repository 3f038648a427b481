"""The whole web application over a real database, without a server; deliveries are worked off when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx2
import pytest

from portal import app as application
from portal import parts as portal_parts
from portal.access import PERMISSIONS, Actor, create_key
from portal.access.applications import ensure_application
from portal.db import Database, new_id, revisions
from portal.notifications.fast_door import FastDoor
from portal.parts import Parts
from portal.settings import Settings
from portal.web import wiring
from portal.worker import make_deliverer

CODE = {"key": "code", "name": "Code", "parts": {"sms": {"en": {"text": "Your code is {{ code }}"}}}, "publish": True}
PHONE = "+14155550100"


class PortalPeer:
    """The application's two doors, its parts, and a client per key."""

    def __init__(self, framework: Any, settings: Settings) -> None:
        self.settings = settings
        self.framework = framework
        # The framework's own handlers alone, and everything with the fast door in front.
        self.slow: Any = wiring.around_everything(wiring.around_framework(framework), settings)
        fast: Any = FastDoor(wiring.around_framework(framework), lambda: framework.state.intake)
        self.app: Any = wiring.around_everything(fast, settings)

    @property
    def parts(self) -> Parts:
        """What the process is made of."""
        parts: Parts = self.framework.state.parts
        return parts

    @property
    def db(self) -> Database:
        """The database of the application."""
        return self.parts.db

    async def key(self, name: str = "shop", scopes: Iterable[str] = tuple(PERMISSIONS), mode: Any = "live") -> Client:
        """A client with a new key of the application `name`."""
        async with self.db.write() as conn:
            application_id = await ensure_application(conn, name)
            key_id, token = await create_key(conn, application_id, name, mode, scopes)
        await self.parts.revisions.poll()
        actor = Actor(
            kind="key", id=key_id, name=name, permissions=frozenset(scopes), application_id=application_id, mode=mode
        )
        return Client(self, token, actor)

    def user(self, *permissions: str) -> Actor:
        """Somebody who uses the portal and holds these permissions."""
        return Actor(kind="user", id=new_id(), name="Ada", permissions=frozenset(permissions or PERMISSIONS))

    async def deliver(self) -> None:
        """Work off everything that is due."""
        deliverer = make_deliverer(self.parts)
        while due := await deliverer.due():
            for lane, chunk_id in due:
                await deliverer.handle(lane, chunk_id)
            await asyncio.gather(*deliverer._running)


class Client:
    """An API client that holds a key."""

    def __init__(self, peer: PortalPeer, token: str, actor: Actor) -> None:
        self.peer, self.token, self.actor = peer, token, actor
        self.headers = {"Authorization": f"Bearer {token}"}
        self.http = self._client(peer.app)
        self.slow = self._client(peer.slow)

    def _client(self, app: Any) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=app)
        return httpx2.AsyncClient(transport=transport, base_url=self.peer.settings.base_url, headers=self.headers)

    async def ask(self, method: str, path: str, body: Any = None, *, status: int, **headers: str) -> Any:
        """The JSON of an answer that has this status; header names are given with underscores."""
        answer = await self.raw(method, path, body, **headers)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def raw(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """The answer itself; bytes go as they are."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        return await self.http.request(method, f"/api/v1{path}", headers=named, **given)

    async def problems(self, method: str, path: str, body: Any, *, status: int = 400) -> dict[str, str]:
        """Field → message of a refused request."""
        found = await self.ask(method, path, body, status=status)
        return {each["field"]: each["message"] for each in found.get("errors", [])}

    async def send(self, status: int = 202, **more: Any) -> UUID:
        """Send a code to a phone; the notification's id."""
        return UUID((await self.ask("POST", "/notifications", one(**more), status=status))["id"])

    async def get(self, notification_id: UUID) -> Any:
        """The notification as this client sees it."""
        return await self.ask("GET", f"/notifications/{notification_id}", status=200)


def one(**more: Any) -> dict[str, Any]:
    """A valid request for one notification, with some fields replaced."""
    return {"template": "code", "to": {"channel": "sms", "address": PHONE}, "data": {"code": "123"}} | more


@asynccontextmanager
async def open_portal(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PortalPeer]:
    """The application with a published template `code`. The test's tables were made without migrations."""

    async def migrated(_db: Database) -> None:
        return None

    monkeypatch.setattr(portal_parts, "require_migrated", migrated)
    # A machine that is busy with other tests must not look like a database that is away.
    monkeypatch.setattr(revisions, "FRESH_SECONDS", 60.0)
    framework = application.create_framework(settings)
    ready, stop = asyncio.Event(), asyncio.Event()
    life = asyncio.create_task(_live(framework, ready, stop))
    await asyncio.wait({life, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if life.done():
            await life
        peer = PortalPeer(framework, settings)
        client = await peer.key("setup")
        await client.ask("POST", "/templates", CODE, status=201)
        await peer.parts.revisions.poll()
        yield peer
    finally:
        stop.set()
        await life


async def _live(framework: Any, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """The application's start and end in one task, as a server runs them."""
    async with framework.lifespan():
        ready.set()
        await stop.wait()
