"""A handler that writes down what it was given, and lets a test wait for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

from portal.kv import Kv
from portal.queues import Hint, LaneWorker, run_lanes

SECONDS = 15


class Recorder:
    """Every start, in order; chunks in `held` stay running until released."""

    def __init__(self) -> None:
        self.starts: list[tuple[str, UUID]] = []
        self.ended: list[UUID] = []
        self.cancelled: list[UUID] = []
        self.due: list[tuple[str, UUID]] = []
        self.polls = 0
        self.hold = False
        self.release = asyncio.Event()
        self.on_start: Callable[[str, UUID], Awaitable[None]] | None = None
        self._changed = asyncio.Condition()

    async def handle(self, lane: str, chunk_id: UUID) -> None:
        """The handler."""
        self.starts.append((lane, chunk_id))
        self.due = [(known, other) for known, other in self.due if other != chunk_id]
        await self._tell()
        try:
            if self.on_start is not None:
                await self.on_start(lane, chunk_id)
            if self.hold:
                await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.append(chunk_id)
            raise
        self.ended.append(chunk_id)
        await self._tell()

    async def poll(self) -> list[tuple[str, UUID]]:
        """What the database says is due: `due`, which the test fills."""
        self.polls += 1
        await self._tell()
        return list(self.due)

    async def until(self, condition: Callable[[Recorder], bool], seconds: float = SECONDS) -> None:
        """Return when the condition holds; it is looked at after each start, end and poll."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    @property
    def lanes(self) -> list[str]:
        """The lanes of the starts, in order."""
        return [lane for lane, _ in self.starts]

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@contextlib.asynccontextmanager
async def working(
    url: str | None,
    recorder: Recorder,
    *,
    slots: int = 4,
    reserve: int = 1,
    drain_seconds: float = 5.0,
    starvation_seconds: float | None = None,
) -> AsyncIterator[LaneWorker]:
    """A worker in this process, with a connection of its own."""
    stop, workers = asyncio.Event(), []
    async with Kv(url) as kv:
        run = asyncio.create_task(
            run_lanes(
                kv,
                recorder.handle,
                recorder.poll,
                stop=stop,
                slots=slots,
                reserve=reserve,
                drain_seconds=drain_seconds,
                starvation_seconds=starvation_seconds,
                on_worker=workers.append,
            )
        )
        await asyncio.sleep(0)
        try:
            yield workers[0]
        finally:
            recorder.release.set()
            stop.set()
            await run


def hints(lane: str, count: int) -> list[Hint]:
    """So many chunks of a lane."""
    return [Hint(lane, uuid4()) for _ in range(count)]
