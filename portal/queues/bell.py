"""Ringing: after a commit, tell the workers that a chunk is due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from redis.exceptions import RedisError

from portal.kv import Kv
from portal.queues.lanes import HINT_LIFE_MS, LANES, QUEUES, Hint, bell_channel, hint_payload
from portal.queues.scripts import RING

log = logging.getLogger("portal.queues")

HINTS_PER_CALL = 500


class Bell:
    """Rings hints into the lanes. Never raises and never waits longer than 1 s; False says that nobody was told.

    Rings that come while a call is under way go out together in the next one: one round trip for all of them.
    """

    def __init__(self, kv: Kv) -> None:
        self._kv = kv
        self._script: Any = kv.client.register_script(RING)
        self._channel = bell_channel(kv.client.connection_pool.connection_kwargs.get("db") or 0)
        self._waiting: list[tuple[list[Hint], asyncio.Future[bool]]] = []
        self._ringer: asyncio.Task[None] | None = None
        self.rung = 0
        self.unrung = 0

    async def ring(self, lane: str, chunk_id: UUID, *, at: datetime | None = None) -> bool:
        """Hint at one chunk, now or at the instant `at`."""
        return await self.ring_many([Hint(lane, chunk_id, at)])

    async def ring_many(self, hints: Iterable[Hint]) -> bool:
        """Hint at many chunks, all or (False) possibly some of them."""
        hints = list(hints)
        if not hints:
            return True
        if not self._kv.up or not all(hint.lane in LANES for hint in hints):
            self.unrung += len(hints)
            return False
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((hints, told))
        if self._ringer is None or self._ringer.done():
            self._ringer = asyncio.create_task(self._keep_ringing(), name="bell")
        return await asyncio.shield(told)

    async def _keep_ringing(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            hints = [hint for batch, _ in waiting for hint in batch]
            rung = False
            try:
                rung = await self._ring(hints)
            finally:
                for _, told in waiting:
                    if not told.done():
                        told.set_result(rung)

    async def _ring(self, hints: list[Hint]) -> bool:
        for start in range(0, len(hints), HINTS_PER_CALL):
            part = hints[start : start + HINTS_PER_CALL]
            try:
                await self._script(args=[self._channel, HINT_LIFE_MS, *_arguments(part)])
            except (RedisError, OSError, TimeoutError) as error:
                self.unrung += len(hints) - start
                if self._kv.note(error) == "error":
                    log.error("bell: Redis refuses the script: %s", type(error).__name__)
                return False
            self.rung += len(part)
        return True


def _arguments(hints: list[Hint]) -> Iterable[str | int | bytes]:
    for lane, chunk_id, at in hints:
        due = 0 if at is None else int(at.timestamp() * 1000)
        yield from (QUEUES[lane], chunk_id.hex, f"{chunk_id.hex}:{uuid4().hex[:8]}", due, hint_payload(chunk_id))
