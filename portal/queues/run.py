"""The entry of a worker process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from portal.kv import Kv
from portal.queues.worker import Handle, LaneWorker, Poll


async def run_lanes(
    kv: Kv,
    handle: Handle,
    poll: Poll,
    *,
    stop: asyncio.Event,
    slots: int = 10,
    reserve: int = 2,
    drain_seconds: float = 8.0,
    starvation_seconds: float | None = None,
    on_worker: Callable[[LaneWorker], None] | None = None,
) -> None:
    """Work on the lanes until `stop` is set and what runs has ended or `drain_seconds` are over.

    `kv` must be started; with no Redis behind it the worker lives on `poll` alone, every 250 ms. `on_worker` gets the
    worker before it begins, for metrics (`worker.slots`, `worker.starvation_picks`). A handler that is cancelled at the
    end of the drain should hand its lease back.
    """
    worker = LaneWorker(kv, handle, poll, slots=slots, reserve=reserve, starvation_seconds=starvation_seconds)
    if on_worker is not None:
        on_worker(worker)
    await worker.run_until(stop, drain_seconds=drain_seconds)
