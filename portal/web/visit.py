"""Who makes this request, found once per request: by API key, by session, or a visitor.

A request that carries `Authorization` never uses the session, so its forms need no CSRF token. Everything that the
answer must carry as a cookie is collected here and written by the middleware.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from portal.access import Actor, KeyCache
from portal.db import Database
from portal.errors import NotSignedIn, PortalError
from portal.sealing import Keyring
from portal.settings import Settings
from portal.web.sessions import ABSOLUTE, Signed, find_session

SCOPE_KEY = "portal.visit"
# Pages that refresh themselves say so: they must not keep a session alive that nobody uses.
REFRESH = b"x-refresh"
THEMES = ("auto", "light", "dark")

log = logging.getLogger(__name__)


class Cookies:
    """The names and flags of our cookies.

    Under https they are `__Host-` cookies: Secure, no Domain, Path=/, so that no neighbouring host can set them. On
    plain http, which only loopback should use, browsers refuse such cookies, so they go without.
    """

    def __init__(self, settings: Settings) -> None:
        self.secure = settings.base_url.startswith("https://")
        prefix = "__Host-" if self.secure else ""
        self.session = f"{prefix}portal"
        self.visitor = f"{prefix}portal-visitor"
        self.flash = f"{prefix}portal-flash"

    def header(self, name: str, value: str, *, max_age: int | None = None, same_site: str = "Lax") -> bytes:
        """One Set-Cookie value; without `max_age` the cookie ends with the browser, 0 deletes it."""
        flags = f"Path=/; HttpOnly; SameSite={same_site}" + ("; Secure" if self.secure else "")
        life = "" if max_age is None else f"; Max-Age={max_age}"
        return f"{name}={value}; {flags}{life}".encode()


class Visit:
    """The facts of one request that handlers and templates need."""

    def __init__(self, cookies: Cookies, keyring: Keyring, given: dict[str, str]) -> None:
        self.cookies = cookies
        self.given = given
        self.session: Signed | None = None
        self.actor: Actor | None = None
        self.by_key = False
        self.refusal: PortalError | None = None
        self.set_cookies: dict[str, bytes] = {}
        self._keyring = keyring
        self._visitor = given.get(cookies.visitor, "")
        if self._visitor and not (
            20 <= len(self._visitor) <= 64 and self._visitor.replace("-", "").replace("_", "").isalnum()
        ):
            self._visitor = ""

    @property
    def theme(self) -> str:
        """`light`, `dark` or `auto`, from the cookie that the browser's switch keeps."""
        theme = self.given.get("portal-theme", "auto")
        return theme if theme in THEMES else "auto"

    @property
    def csrf_token(self) -> str:
        """The token for forms of this session; a visitor without a session gets a cookie to bind it to."""
        if self.session is None and not self._visitor:
            self._visitor = secrets.token_urlsafe(24)
            self.set_cookies[self.cookies.visitor] = self.cookies.header(
                self.cookies.visitor, self._visitor, same_site="Strict"
            )
        return _token(self._keyring.derive("sessions"), self._binding)

    def accepts_csrf(self, token: str) -> bool:
        """True for a token that was made for this very session or visitor."""
        if not token or not token.isascii() or not (self.session or self._visitor):
            return False
        keys = self._keyring.derive_all("sessions")
        return any(hmac.compare_digest(_token(key, self._binding), token) for key in keys)

    def sign_in(self, identifier: str) -> None:
        """Give the browser the identifier of a session that was just started."""
        life = int(ABSOLUTE.total_seconds())
        self.set_cookies[self.cookies.session] = self.cookies.header(self.cookies.session, identifier, max_age=life)
        self.forget(self.cookies.visitor)

    def sign_out(self) -> None:
        """Take the cookies back."""
        self.session = self.actor = None
        self.forget(self.cookies.session)
        self.forget(self.cookies.visitor)

    def forget(self, name: str) -> None:
        """Delete a cookie that the browser sent."""
        if name in self.given:
            self.set_cookies[name] = self.cookies.header(name, "", max_age=0)

    def sign(self, purpose: str, text: str) -> str:
        """A short signature of `text` that only this installation can make."""
        return _mac(self._keyring.derive("sessions"), purpose, text)[:32]

    def signed(self, purpose: str, text: str, signature: str) -> bool:
        """True when `sign` made this signature."""
        return hmac.compare_digest(self.sign(purpose, text).encode(), signature.encode())

    @property
    def _binding(self) -> str:
        return f"session:{self.session.id_hash}" if self.session else f"visitor:{self._visitor}"


class VisitMiddleware:
    """ASGI middleware around the framework: finds the visit, and writes its cookies on the way out."""

    def __init__(self, app: ASGIApp, state: Any, settings: Settings) -> None:
        self._app = app
        self._state = state
        self._cookies = Cookies(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP or scope["path"].startswith("/static/"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        visit = Visit(self._cookies, self._state.keyring, read_cookies(headers.get(b"cookie", b"")))
        scope[SCOPE_KEY] = visit  # type: ignore[literal-required]
        try:
            await self._recognise(visit, headers)
        except PortalError as error:
            visit.refusal = error

        async def send_with_cookies(message: Message) -> None:
            if message["type"] == "http.response.start" and visit.set_cookies:
                # A new list: a static response may share its headers between requests.
                cookies = [(b"set-cookie", cookie) for cookie in visit.set_cookies.values()]
                given = [pair for pair in message.get("headers", ()) if pair[0] != b"cache-control"]
                message["headers"] = [*given, *cookies, (b"cache-control", b"no-store")]
            await send(message)

        await self._app(scope, receive, send_with_cookies)

    async def _recognise(self, visit: Visit, headers: dict[bytes, bytes]) -> None:
        authorization = headers.get(b"authorization")
        if authorization is not None:
            visit.by_key = True
            visit.actor = await actor_by_key(self._state["keys"], authorization)
            return
        identifier = visit.given.get(visit.cookies.session)
        if not identifier:
            return
        db: Database = self._state.db
        visit.session = await find_session(db, identifier, active=REFRESH not in headers)
        if visit.session is None:
            visit.forget(visit.cookies.session)
        else:
            visit.actor = visit.session.actor


def visit_of(connection: Any) -> Visit:
    """The visit of a request."""
    visit: Visit = connection.scope[SCOPE_KEY]
    return visit


async def actor_by_key(keys: KeyCache, authorization: bytes) -> Actor:
    """The API key's actor; raises `NotSignedIn`."""
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    entry = await keys.look_up(token.strip()) if scheme.lower() == "bearer" else None
    if entry is None:
        raise NotSignedIn("This API key is not valid: it is unknown, expired or revoked.")
    return entry.actor


def read_cookies(header: bytes) -> dict[str, str]:
    """name → value of a Cookie header; the first of two with one name wins, as browsers send the more exact one first."""
    found: dict[str, str] = {}
    for part in header.decode("latin-1").split(";"):
        name, _, value = part.strip().partition("=")
        found.setdefault(name, value.strip('"'))
    return found


def client_address(scope: Scope) -> str:
    """The address that the request came from, as the server or a trusted proxy says; empty when unknown."""
    client = scope.get("client")
    return client[0] if client else ""


def _token(key: bytes, binding: str) -> str:
    return _mac(key, "csrf", binding)


def _mac(key: bytes, purpose: str, text: str) -> str:
    return hmac.new(key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()
