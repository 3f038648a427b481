"""How many calls of one account may run at once in this process, with a share that only high may use."""

from __future__ import annotations

import asyncio
from collections import deque

WAIT_SECONDS = {"high": 0.05, "medium": 0.5, "low": 0.5}
"""How long a delivery waits for a slot before it leaves for a chunk of that account alone."""


class Bulkhead:
    """`size` slots, of which a fifth, at least one when there are two or more, is kept for high.

    `acquire` is fair within high and within the rest, and lets high go first. Not for use from several threads.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.reserve = max(1, size // 5) if size > 1 else 0
        self.in_use = 0
        self._high: deque[asyncio.Future[None]] = deque()
        self._idle: asyncio.Event | None = None
        self._rest: deque[asyncio.Future[None]] = deque()

    def free(self, lane: str) -> bool:
        """Whether a delivery of this lane would get a slot at once."""
        return self.in_use < (self.size if lane == "high" else self.size - self.reserve)

    async def acquire(self, lane: str, timeout: float | None = None) -> bool:
        """Take a slot, waiting at most `timeout` seconds (WAIT_SECONDS of the lane when None); False without one."""
        queue = self._high if lane == "high" else self._rest
        if not queue and self.free(lane):
            self.in_use += 1
            return True
        seconds = WAIT_SECONDS[lane] if timeout is None else timeout
        if seconds <= 0:
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                if isinstance(error, TimeoutError):
                    return True  # the slot came in the last moment
                self.release()
            elif turn in queue:
                queue.remove(turn)
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def release(self) -> None:
        """Give a slot back; the next who may have it gets it."""
        self.in_use -= 1
        if not self.in_use and self._idle is not None:
            self._idle.set()
        self._wake(self._high, "high")
        self._wake(self._rest, "low")

    async def idle(self) -> None:
        """Return when no slot is taken."""
        while self.in_use:
            self._idle = asyncio.Event()
            await self._idle.wait()

    def _wake(self, queue: deque[asyncio.Future[None]], lane: str) -> None:
        while queue and self.free(lane):
            turn = queue.popleft()
            if not turn.done():
                self.in_use += 1
                turn.set_result(None)
