"""The outermost middleware: request id, host check, body cap, security headers, access log; in one pass.

One class instead of five, because it stands before the fast door and every layer costs each request a few microseconds.
"""

from __future__ import annotations

import ipaddress
import itertools
import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from portal.errors import InvalidInput, PortalError, TooLarge
from portal.settings import Settings
from portal.web.problems import problem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    b"referrer-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
# A year; only under https.
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
# JSON answers of machines need only these: nothing there is rendered.
MACHINE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
)
# Probes address a process by its own address, and learn nothing that a host name could protect.
ANY_HOST = frozenset({"/health", "/ready", "/metrics"})
HOST = re.compile(rb"\A(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?\Z")
GIVEN_ID = re.compile(rb"\A[A-Za-z0-9_-]{8,64}\Z")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Too many to log one by one; metrics count them.
QUIET = ("/api/v1/notifications", "/static/", "/health", "/ready", "/metrics")
# Files, and templates, whose mails may be as large as a file.
UPLOAD_PATHS = ("/api/v1/attachments", "/uploads", "/api/v1/templates", "/templates/")

# Request ids name a request and protect nothing: a random process and a count cost a fifth of random bytes each.
_PROCESS = secrets.token_hex(5)
_count = itertools.count(1)

log = logging.getLogger("portal.access_log")


class Edge:
    """ASGI middleware around everything, the fast door included."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._allowed = {host.lower() for host in settings.allowed_hosts if not host.startswith("*.")}
        self._allowed |= {(urlsplit(settings.base_url).hostname or "").lower(), *LOOPBACK}
        self._suffixes = tuple(host[1:].lower() for host in settings.allowed_hosts if host.startswith("*."))
        secure = settings.base_url.startswith("https://")
        extra = (STRICT_TRANSPORT,) if secure else ()
        self._page = _with_names((*HEADERS.items(), *extra))
        self._machine = _with_names((*MACHINE_HEADERS, *extra))
        self._known_hosts: dict[bytes, bool] = {}
        self._proxies = [ipaddress.ip_network(cidr, strict=False) for cidr in settings.trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        facts: Any = scope
        facts["portal.request_id"] = request_id
        if self._proxies:
            _believe_proxy(scope, headers, self._proxies)
        path: str = scope["path"]
        standard, standard_names = self._machine if path.startswith("/api/") else self._page
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message.get("headers", ())
                names = {name for name, _ in given}
                if not names.isdisjoint(standard_names):
                    standard_left = [pair for pair in standard if pair[0] not in names]
                    message["headers"] = [*given, *standard_left, (b"x-request-id", request_id.encode())]
                else:
                    message["headers"] = [*given, *standard, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            if not self._known_hosts.get(headers.get(b"host", b"")):
                self._check_host(path, headers.get(b"host", b""))
            limit = self._limit(path)
            await self._app(scope, self._capped(scope, headers, receive, limit), send_on)
        except PortalError as error:
            if status:
                raise
            await _answer(send_on, error, request_id)
        finally:
            _log_access(scope, status, started, request_id)

    def _check_host(self, path: str, host: bytes) -> None:
        if path in ANY_HOST:
            return
        if not self._allows(host):
            raise InvalidInput(
                {"Host": "expected the host of PORTAL_PUBLIC_URL or one of PORTAL_ALLOWED_HOSTS"}, code="unknown_host"
            )
        # Bounded: a wildcard has no end of hosts.
        if len(self._known_hosts) < 1000:
            self._known_hosts[host] = True

    def _allows(self, host: bytes) -> bool:
        match = HOST.match(host)
        name = match.group(1).decode().lower() if match else ""
        return bool(name) and (name in self._allowed or name.endswith(self._suffixes or ("\0",)))

    def _limit(self, path: str) -> int:
        """The most bytes of a body at this path."""
        if path == "/api/v1/notifications/bulk":
            return self._settings.max_bulk_bytes
        if path.startswith(UPLOAD_PATHS):
            # The form around the file needs a little room of its own.
            return self._settings.max_attachment_bytes + 65_536
        return self._settings.max_body_bytes

    def _capped(self, scope: Any, headers: dict[bytes, bytes], receive: Receive, limit: int) -> Receive:
        """`receive` that refuses more than `limit` bytes, whether announced or not."""
        announced = headers.get(b"content-length")
        if announced is not None:
            if not announced.isdigit() or int(announced) > limit:
                raise _too_large(limit)
            return receive
        if scope["method"] in ("GET", "HEAD"):
            return receive
        return _counting(receive, limit)


def _with_names(headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[tuple[bytes, bytes], ...], frozenset[bytes]]:
    return headers, frozenset(name for name, _ in headers)


def _counting(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def receive_counted() -> Any:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
        return message

    return receive_counted


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than the {limit} bytes that are allowed here.", limit=limit)


async def _answer(send: Callable[[Any], Any], error: PortalError, request_id: str) -> None:
    status, headers, body = problem(error, request_id)
    headers = [*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _request_id(headers: dict[bytes, bytes]) -> str:
    """The caller's own id when it looks like one, so that their log and ours can be joined; else a new one."""
    given = headers.get(b"x-request-id")
    return given.decode() if given is not None and GIVEN_ID.match(given) else f"{_PROCESS}{next(_count):08x}"


def _believe_proxy(scope: Scope, headers: dict[bytes, bytes], proxies: list[Any]) -> None:
    """Take the client's address from X-Forwarded-For: the last hop that is not one of our proxies."""
    hops = [part.strip() for part in headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",") if part.strip()]
    client = scope.get("client")
    address = client[0] if client else ""
    while hops and _is_one_of(address, proxies):
        address = hops.pop()
    if client and address != client[0]:
        scope["client"] = (address, 0)


def _is_one_of(address: str, networks: list[Any]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def _log_access(scope: Any, status: int, started: float, request_id: str) -> None:
    """One line per request, without the query: links carry their secret there. The fast path is debug only."""
    path = scope["path"]
    level = logging.DEBUG if path.startswith(QUIET) else logging.INFO
    if status >= 500 or not status:
        level = logging.WARNING
    if log.isEnabledFor(level):
        milliseconds = (time.perf_counter() - started) * 1000
        shown = path.encode("unicode_escape").decode()[:300]
        log.log(level, "%s %s %s %.1f ms %s", scope["method"], shown, status or "aborted", milliseconds, request_id)
