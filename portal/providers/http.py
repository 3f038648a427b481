"""The HTTP client that a provider gets: guarded, bounded in time and size, without redirects, proxies or cookies."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore2
import httpx2

from portal.providers.egress import CONNECT_SECONDS, Guard, GuardedBackend

MAX_ANSWER = 1024 * 1024
"""Bytes of an answer's body, as sent and as unpacked."""
USER_AGENT = "push-portal"
# zlib reads both with their own headers.
UNPACKED = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class AnswerTooLarge(httpx2.ReadError):
    """The vendor answered, with more than we read."""


@cache
def tls_context() -> ssl.SSLContext:
    """Verified TLS 1.2 or newer; made once per process, for it reads all certificates."""
    context = httpx2.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """httpx's own transport over a guarded pool, with a cap on the body."""

    def __init__(self, guard: Guard, connections: int) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls_context(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30.0,
            network_backend=GuardedBackend(guard),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        declared = response.headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared) > MAX_ANSWER:
            await response.aclose()
            raise AnswerTooLarge(f"The answer has more than {MAX_ANSWER} bytes.")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        body = _Bounded(response.stream, response.headers.pop("Content-Encoding", "identity").strip().lower())
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=body, extensions=response.extensions
        )


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with an error once it is too long; unpacked here, so that a small bomb stays small."""

    def __init__(self, inner: httpx2.AsyncByteStream, encoding: str) -> None:
        self._inner = inner
        self._encoding = encoding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpack: Any = None
        if self._encoding in UNPACKED:
            unpack = zlib.decompressobj(UNPACKED[self._encoding])
        elif self._encoding not in ("", "identity"):
            raise httpx2.ReadError(f"The answer has the encoding {self._encoding}, which was not asked for.")
        taken = given = 0
        async for piece in self._inner:
            taken += len(piece)
            plain = piece if unpack is None else _unpacked(unpack, piece, MAX_ANSWER - given + 1)
            given += len(plain)
            if max(taken, given) > MAX_ANSWER:
                raise AnswerTooLarge(f"The answer has more than {MAX_ANSWER} bytes.")
            yield plain

    async def aclose(self) -> None:
        await self._inner.aclose()


def _unpacked(unpack: Any, piece: bytes, room: int) -> bytes:
    try:
        plain: bytes = unpack.decompress(piece, room)
    except zlib.error:
        raise httpx2.ReadError("The answer cannot be unpacked.") from None
    return plain


class GuardedClient(httpx2.AsyncClient):
    """What `ctx.http` is. One per account and process: its connections, and nothing else, are kept between calls."""

    def __init__(self, guard: Guard, *, connections: int, deadline: float) -> None:
        super().__init__(
            transport=GuardedTransport(guard, connections),
            timeout=httpx2.Timeout(deadline, connect=min(CONNECT_SECONDS, deadline)),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )
        self._deadline = deadline

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """As httpx's, but the whole exchange ends at the deadline, and redirects are never followed."""
        options["follow_redirects"] = False
        try:
            async with asyncio.timeout(self._deadline):
                return await super().send(request, **options)
        except TimeoutError:
            raise httpx2.ReadTimeout(f"No answer within {self._deadline:g} seconds.", request=request) from None
