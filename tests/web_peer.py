"""The pages of identity, access and audit over a real database, with everything around them but a server."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx2
import msgspec
from litestar import Litestar, Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import Provide
from sqlalchemy import insert

from portal.access import Actor, KeyCache, RoleGrant, User, create_key
from portal.access.applications import ensure_application
from portal.access.pages import pages_router as access_pages
from portal.access.queries import user_actor
from portal.audit.pages import pages_router as audit_pages
from portal.db import Database, Revisions, new_id
from portal.errors import Conflict, TooMany
from portal.identity import passwords
from portal.identity.pages import pages_router as identity_pages
from portal.sealing import Keyring
from portal.settings import Settings
from portal.web import wiring
from portal.web.guards import machines, public, require
from portal.web.render import preview
from portal.web.sessions import start_session

PASSWORD = "four unrelated words 17"
SECRET_SENTENCE = "SELECT password_hash FROM portal_user -- /srv/portal/secret.py"


@get("/api/v1/whoami", guards=[require("notifications:read")])
async def whoami(actor: Actor) -> dict[str, str]:
    return {"name": actor.name, "kind": actor.kind}


@post("/api/v1/things", guards=[require("notifications:send")], status_code=200)
async def things(request: Request[Any, Any, Any]) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@get("/api/v1/broken", guards=[require("notifications:read")])
async def broken_api() -> None:
    raise RuntimeError(SECRET_SENTENCE)


@get("/broken", guards=[require("notifications:read")])
async def broken_page() -> None:
    raise RuntimeError(SECRET_SENTENCE)


@get("/api/v1/conflict", guards=[public])
async def conflict() -> None:
    raise Conflict("Somebody was faster.", code="too_late")


@get("/api/v1/busy", guards=[public])
async def busy() -> None:
    raise TooMany("Come back later.", retry_after=1.2)


@post("/callbacks/{account:str}", guards=[machines], status_code=200)
async def callback(account: str) -> str:
    return account


@get("/a-preview", guards=[public])
async def a_preview() -> Response[str]:
    return preview("<p>Hello</p><script>alert(1)</script>")


TEST_ROUTES = Router("/", route_handlers=[whoami, things, broken_api, broken_page, conflict, busy, callback, a_preview])


class WebPeer:
    """Makes clients; each is a browser of its own with its own cookies."""

    def __init__(self, app: Any, framework: Litestar, settings: Settings, db: Database, keyring: Keyring, keys: KeyCache, revisions: Revisions) -> None:  # fmt: skip
        self.app, self.framework, self.settings = app, framework, settings
        self.db, self.keyring, self.keys, self.revisions = db, keyring, keys, revisions

    def browser(self, **headers: str) -> Browser:
        """A visitor who is not signed in."""
        named = {"accept": "text/html", **{name.replace("_", "-"): value for name, value in headers.items()}}
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False, client=("192.0.2.1", 1234))
        return Browser(self, httpx2.AsyncClient(transport=transport, base_url=self.settings.base_url, headers=named))

    async def user(self, email: str, *roles: str, password: str | None = None) -> Actor:
        """A user with these roles, without a session."""
        user_id = new_id()
        stored = await passwords.hash_password(password) if password else None
        async with self.db.write() as conn:
            await conn.execute(insert(User).values(id=user_id, email=email, password_hash=stored))
            if roles:
                await conn.execute(insert(RoleGrant), [{"user_id": user_id, "role": role} for role in roles])
            actor = await user_actor(conn, user_id)
        assert actor is not None
        return actor

    async def signed_in(self, user: Actor, **headers: str) -> Browser:
        """A browser with a session of this user."""
        browser = self.browser(**headers)
        async with self.db.write() as conn:
            identifier = await start_session(conn, user.id, method="password")
        browser.put_session(identifier)
        return browser

    async def key(self, *scopes: str, mode: Any = "live") -> tuple[UUID, str]:
        """An API key as (id, clear text)."""
        async with self.db.write() as conn:
            application = await ensure_application(conn, "shop")
            return await create_key(conn, application, "a key", mode, scopes)


class Browser:
    """A client that keeps cookies and knows how to fill in a form's token."""

    def __init__(self, web: WebPeer, http: httpx2.AsyncClient) -> None:
        self.web, self.http = web, http
        self.cookie = "__Host-portal" if web.settings.base_url.startswith("https") else "portal"

    @property
    def session(self) -> str | None:
        """The identifier that the browser holds."""
        return self.http.cookies.get(self.cookie)

    def put_session(self, identifier: str) -> None:
        """Plant an identifier, as an attacker might."""
        self.http.cookies.set(self.cookie, identifier, domain=httpx2.URL(self.web.settings.base_url).host)

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.http.get(path, headers=_named(headers))

    async def token(self, path: str = "/sign-in") -> str:
        """The CSRF token that a page gives to this browser."""
        text = (await self.http.get(path, follow_redirects=True)).text
        found = re.search(r'"x-csrf-token": "([0-9a-f]+)"', text)
        assert found, text
        return found.group(1)

    async def post(
        self,
        path: str,
        fields: Mapping[str, str | Sequence[str]] | None = None,
        *,
        token: str | None = None,
        **headers: str,
    ) -> httpx2.Response:
        """Send a form with the token of this browser, or with the one given; an empty one sends none."""
        token = await self.token() if token is None else token
        data = {**(fields or {}), **({"csrf_token": token} if token else {})}
        return await self.http.post(path, data=data, headers=_named(headers))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@asynccontextmanager
async def open_web(db: Database, settings: Settings, **changes: Any) -> AsyncIterator[WebPeer]:
    """The application with `settings`, some of them changed."""
    settings = msgspec.structs.replace(settings, **changes)
    revisions, keyring = Revisions(db), Keyring.from_settings(settings)
    keys = KeyCache(db, revisions)
    given = {"db": db, "settings": settings, "keyring": keyring}
    framework = Litestar(
        [identity_pages, access_pages, audit_pages, TEST_ROUTES],
        dependencies={**wiring.DEPENDENCIES, **{name: _provide(value) for name, value in given.items()}},
        exception_handlers=wiring.EXCEPTION_HANDLERS,
        state=State({**given, "keys": keys}),
        openapi_config=None,
        logging_config=None,
    )
    wiring.prepare(framework)
    app = wiring.around_everything(wiring.around_framework(framework), settings)
    await revisions.start()
    try:
        yield WebPeer(app, framework, settings, db, keyring, keys, revisions)
    finally:
        await revisions.stop()


def _provide(value: Any) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)
