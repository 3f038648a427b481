"""A real HTTP server for tests, on loopback: it keeps every request and answers as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Heard:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = bytes | Callable[[Heard], Awaitable[bytes]]


@dataclass
class HttpPeer:
    """`answer` is the raw answer to every request, or a function that makes it; `heard` and `connections` count."""

    port: int = 0
    answer: Answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0
    server_names: list[str | None] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """An http address of this server."""
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
                raw = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Heard(method, target, {name.lower(): value for name, value in raw.items()}, body)
                self.heard.append(request)
                answer = self.answer if isinstance(self.answer, bytes) else await self.answer(request)
                writer.write(answer)
                await writer.drain()
        writer.close()


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A raw HTTP/1.1 answer; underscores in header names become dashes."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@contextlib.asynccontextmanager
async def http_peer(tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpPeer]:
    """A running server; every connection is ended at the end."""
    peer = HttpPeer()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await peer.serve(reader, writer)

    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: peer.server_names.append(name)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for writer in writers:
            writer.close()
