"""Reading a request's body without a framework: whole or as it comes, and knowing when the client went away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

# The messages are dictionaries; frameworks give them stricter types than the protocol does.
Receive = Callable[[], Awaitable[Any]]


class ClientGone(Exception):
    """The client went away before the end of its body: nobody is there to answer."""


async def read_body(receive: Receive) -> bytes | None:
    """The whole body, or None when the client went away before its end: then nothing is accepted."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def stream_body(receive: Receive) -> AsyncIterator[bytes]:
    """The body piece by piece; raises `ClientGone` when it ends before its end."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = bool(message.get("more_body"))
        if piece := message.get("body", b""):
            yield piece
