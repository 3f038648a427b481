"""A worker process for tests: `python lane_process.py REDIS_URL SECONDS`.

Prints `ready`, then `start <lane> <chunk>` and `end <chunk>` for each chunk, which it holds for SECONDS; SIGTERM drains.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from uuid import UUID

from portal.kv import Kv
from portal.queues import LaneWorker, run_lanes


def say(line: str) -> None:
    """One line to the test."""
    print(line, flush=True)


async def main(url: str, seconds: float) -> None:
    """Work until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def handle(lane: str, chunk_id: UUID) -> None:
        say(f"start {lane} {chunk_id}")
        await asyncio.sleep(seconds)
        say(f"end {chunk_id}")

    async def poll() -> list[tuple[str, UUID]]:
        return []

    def ready(_worker: LaneWorker) -> None:
        say("ready")

    async with Kv(url) as kv:
        await run_lanes(kv, handle, poll, stop=stop, slots=2, reserve=1, drain_seconds=5, on_worker=ready)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
