"""What bounds accepting on this machine: a bare ASGI handler, and the smallest one that coalesces the same rows."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import Any

import asyncpg

INSERT = (
    "INSERT INTO chunk (id, kind, lane, application_id, status, members, first_id, last_id, size, accepted, counted, "
    "fence, crashes) VALUES ($1, 'plan', 'low', $2, 'done', $3, $1, $1, $4, 0, true, 0, 0)"
)
ANSWER = b'{"id":"00000000-0000-7000-8000-000000000000","status":"accepted"}'
HEAD = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body, answer."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await _answer(send)


async def _answer(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEAD})
    await send({"type": "http.response.body", "body": ANSWER})


class Coalescing:
    """The bodies of concurrent requests go into one row of the same table; no key, no check, no limit, no template."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self.flushes = 0
        self.pool: asyncpg.Pool[Any] | None = None
        self.application = uuid.uuid4()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            await receive()
            await _answer(send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((body, done))
        if self.flushes < 2:
            self.flushes += 1
            task = asyncio.create_task(self.flush())
            done.add_done_callback(lambda _: task)
        await done
        await _answer(send)

    async def flush(self) -> None:
        """Insert what waits until nothing waits."""
        if self.pool is None:
            self.pool = await asyncpg.create_pool(os.environ["PORTAL_DATABASE_URL"], min_size=2, max_size=2)
        while self.waiting:
            batch, self.waiting = self.waiting, []
            members = b"".join(body for body, _ in batch)
            await self.pool.execute(INSERT, uuid.uuid4(), self.application, members, len(batch))
            for _, done in batch:
                done.set_result(None)
        self.flushes -= 1


coalescing = Coalescing()
