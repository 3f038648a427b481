"""Guards: every route names who may use it, so that a test can list them.

* `require("templates:write")`: whoever holds that permission, by session or by API key;
* `signed_in`: any user of the portal, for what concerns only themselves;
* `public`: anybody; unsafe methods still need the token of the visitor's form (sign-in);
* `machines`: anybody, without cookies and so without a token: callbacks and one-click links, which prove themselves
  by a signature.

A session proves an unsafe request with its CSRF token; an API key needs none, because no browser sends it by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.enums import RequestEncodingType
from litestar.handlers.base import BaseRouteHandler

from portal.access import PERMISSIONS, Actor
from portal.errors import InvalidInput, NotAllowed, NotSignedIn
from portal.web.visit import Visit, visit_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TOKEN_HEADER = "x-csrf-token"  # noqa: S105 - the name of a header
TOKEN_FIELD = "csrf_token"  # noqa: S105 - the name of a form field

Connection = ASGIConnection[Any, Any, Any, Any]


class Guard:
    """A rule of who may use a route; `name` is the permission, or one of signed_in, public, machines."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"guard:{self.name}"

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        """Return when the request may go on; raise `NotSignedIn` or `NotAllowed`."""
        _refuse_nul(connection)
        visit = visit_of(connection)
        if self.name == "machines":
            return
        if self.name != "public":
            self._check_actor(visit)
        if connection.scope.get("method") not in SAFE_METHODS and not (visit.by_key and visit.actor):
            await check_csrf(connection)

    def _check_actor(self, visit: Visit) -> None:
        if visit.refusal is not None:
            raise visit.refusal
        if visit.actor is None:
            raise NotSignedIn("Sign in first, or send an API key: Authorization: Bearer pp_live_…")
        if self.name == "signed_in":
            if visit.actor.kind != "user":
                raise NotAllowed("Only a user of the portal may do this, not an API key.")
            return
        visit.actor.require(self.name)


def require(permission: str) -> Guard:
    """A guard that lets holders of the permission in."""
    if permission not in PERMISSIONS:
        raise ValueError(f"there is no permission {permission!r}")
    return Guard(permission)


signed_in = Guard("signed_in")
public = Guard("public")
machines = Guard("machines")


async def check_csrf(connection: Connection) -> None:
    """Return for a request that our own page sent in this very session; raise `NotAllowed` otherwise."""
    headers = connection.headers
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise _forged()
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() not in _our_hosts(connection):
        raise _forged()
    token = headers.get(TOKEN_HEADER) or await _token_in_form(connection)
    if not visit_of(connection).accepts_csrf(token):
        raise NotAllowed("This page is out of date. Reload it and try again.", code="csrf")


def provide_actor(request: Request[Any, Any, Any]) -> Actor:
    """Dependency `actor`: who makes the request; raises `NotSignedIn` on public routes without one."""
    visit = visit_of(request)
    if visit.refusal is not None:
        raise visit.refusal
    if visit.actor is None:
        raise NotSignedIn("Sign in first.")
    return visit.actor


class GuardedRoute(NamedTuple):
    """One route and method with the names of its guards."""

    path: str
    method: str
    guards: tuple[str, ...]


def guarded_routes(app: Litestar) -> list[GuardedRoute]:
    """Every HTTP route of the application with its guards; a route without any is a mistake that a test finds."""
    found: list[GuardedRoute] = []
    for route in app.routes:
        for handler in _handlers(route):
            methods: Iterable[str] = getattr(handler, "http_methods", ()) or ["ANY"]
            # Litestar keeps each guard wrapped; a guard that is a coroutine already is kept as it is.
            names = tuple(_name(guard) for guard in handler.resolve_guards())
            found += [GuardedRoute(route.path, str(method), names) for method in sorted(methods)]
    return found


def _handlers(route: Any) -> list[Any]:
    handlers = getattr(route, "route_handlers", None)
    return list(handlers) if handlers is not None else [route.route_handler]


def _name(guard: Any) -> str:
    inner = getattr(guard, "func", guard)
    return inner.name if isinstance(inner, Guard) else repr(inner)


def _refuse_nul(connection: Connection) -> None:
    """No text that we know holds a NUL, and PostgreSQL cannot compare with one."""
    if b"%00" in connection.scope["query_string"] or "\0" in connection.scope["path"]:
        raise InvalidInput({"address": "expected no character NUL (%00)"})


def _forged() -> NotAllowed:
    return NotAllowed("This request came from another site and was not carried out.", code="csrf")


def _our_hosts(connection: Connection) -> set[str]:
    host = connection.headers.get("host", "").lower()
    return {host, urlsplit(connection.app.state.settings.base_url).netloc.lower()} - {""}


async def _token_in_form(connection: Connection) -> str:
    if not isinstance(connection, Request) or connection.content_type[0] not in (
        RequestEncodingType.URL_ENCODED,
        RequestEncodingType.MULTI_PART,
    ):
        return ""
    token = (await connection.form()).get(TOKEN_FIELD, "")
    return token if isinstance(token, str) else ""
