"""Untrusted templates built and rendered in processes that are killed when they take too long.

A render in this process is bounded by its meter; parsers and native converters have no meter. What authors write is
therefore first met in a child with hard limits. A child that does not answer in time is killed and replaced; nothing
else waits for it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import msgspec

import portal
from portal.errors import TooMany
from portal.message_templates.build import BuildAnswer, BuildRequest, RenderAnswer, RenderRequest

START_SECONDS = 20.0
BUILD_SECONDS = 5.0
RENDER_SECONDS = 1.0
WAITING_AT_MOST = 32
MAX_ANSWER = 64 * 1024 * 1024

_decoder = msgspec.msgpack.Decoder(BuildAnswer | RenderAnswer)


class Stopped(Exception):
    """The work was ended by force: it took too long, or its process ran out of memory."""


class Died(Stopped):
    """The process ended before it answered."""


class Killable:
    """At most `size` children, started when first needed. `build` and `render` raise `Stopped` when they must be ended."""

    def __init__(self, size: int = 2) -> None:
        self._free = asyncio.Semaphore(size)
        self._idle: list[Process] = []
        self._waiting = 0
        self._closed = False

    async def build(self, request: BuildRequest, *, seconds: float = BUILD_SECONDS) -> BuildAnswer:
        """Convert, compile and try a template's parts."""
        answer = await self._run(request, seconds)
        assert isinstance(answer, BuildAnswer)
        return answer

    async def render(self, request: RenderRequest, *, seconds: float = RENDER_SECONDS) -> RenderAnswer:
        """Render parts as they are written."""
        answer = await self._run(request, seconds)
        assert isinstance(answer, RenderAnswer)
        return answer

    async def close(self) -> None:
        """End the children."""
        self._closed = True
        while self._idle:
            await _end(self._idle.pop())

    async def _run(self, request: BuildRequest | RenderRequest, seconds: float) -> BuildAnswer | RenderAnswer:
        if self._waiting >= WAITING_AT_MOST:
            raise TooMany("Too many templates are being checked at once.", retry_after=1.0)
        self._waiting += 1
        try:
            async with self._free:
                return await self._in_child(msgspec.msgpack.encode(request), seconds)
        finally:
            self._waiting -= 1

    async def _in_child(self, frame: bytes, seconds: float) -> BuildAnswer | RenderAnswer:
        if (child := self._idle_child()) is not None:
            try:
                return await self._answer(child, frame, seconds)
            except Died:
                # It may have been killed while it had nothing to do; a new one tells whether the template is to blame.
                pass
        return await self._answer(await _start(), frame, seconds)

    async def _answer(self, child: Process, frame: bytes, seconds: float) -> BuildAnswer | RenderAnswer:
        try:
            async with asyncio.timeout(seconds):
                answer = await _ask(child, frame)
        except BaseException as error:
            # Also when the caller gives up: a child in the middle of a request cannot be given to the next one.
            await asyncio.shield(_end(child))
            if isinstance(error, TimeoutError):
                raise Stopped(f"The template was stopped after {seconds:g} s: it takes too long.") from None
            if isinstance(error, (asyncio.IncompleteReadError, ConnectionError)):
                raise Died("The template was stopped: it takes too much memory or processor time.") from None
            raise
        if self._closed:
            await _end(child)
        else:
            self._idle.append(child)
        return answer

    def _idle_child(self) -> Process | None:
        """An idle child that still lives, as far as is known."""
        while self._idle:
            child = self._idle.pop()
            if child.returncode is None:
                return child
        return None


async def _start() -> Process:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "portal.message_templates.killable_child",
        stdin=PIPE,
        stdout=PIPE,
        env=_environment(),
        cwd="/",
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            await _read(child)
    except BaseException as error:
        # Also when the caller gives up: nobody else knows of this child.
        await asyncio.shield(_end(child))
        if isinstance(error, (TimeoutError, asyncio.IncompleteReadError)):
            raise Stopped("The process that checks templates did not start.") from None
        raise
    return child


def _environment() -> dict[str, str]:
    """What a child needs to find its modules, and none of the portal's settings and secrets."""
    root = str(Path(portal.__file__).parents[1])
    return {"PATH": os.defpath, "PYTHONPATH": root, "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}


async def _ask(child: Process, frame: bytes) -> BuildAnswer | RenderAnswer:
    assert child.stdin is not None
    child.stdin.write(len(frame).to_bytes(4) + frame)
    await child.stdin.drain()
    answer: BuildAnswer | RenderAnswer = _decoder.decode(await _read(child))
    return answer


async def _read(child: Process) -> bytes:
    assert child.stdout is not None
    size = int.from_bytes(await child.stdout.readexactly(4))
    if size > MAX_ANSWER:
        raise ConnectionError("the answer is too large")
    return await child.stdout.readexactly(size)


async def _end(child: Process) -> None:
    if child.returncode is None:
        try:
            child.kill()
        except ProcessLookupError:
            pass
    await child.wait()
