"""High work is not slowed by the lower work of its own process."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import pytest

from portal.kv import Kv
from portal.queues import Bell, give_way
from tests.integration.queues.recorder import Recorder, hints, working


@pytest.mark.parametrize("redis", [True, False])
async def test_lower_chunks_wait_at_their_pauses_while_high_runs(redis: bool, redis_url: str) -> None:
    recorder, slices = Recorder(), 0
    high_done = asyncio.Event()
    at_high: list[int] = []

    async def work(lane: str, _chunk: UUID) -> None:
        nonlocal slices
        if lane == "high":
            at_high.append(slices)
            for _ in range(10):  # as many round trips to a database
                await asyncio.sleep(0.001)
            at_high.append(slices)
            high_done.set()
            return
        while not high_done.is_set():
            end = time.perf_counter() + 0.003
            while time.perf_counter() < end:
                pass
            slices += 1
            await give_way()

    recorder.on_start = work
    async with Kv(redis_url) as kv, working(redis_url if redis else None, recorder, slots=8, reserve=2):
        low, high = hints("low", 6), hints("high", 1)
        recorder.due = [(hint.lane, hint.chunk_id) for hint in low]
        await Bell(kv).ring_many(low)
        await recorder.until(lambda r: len(r.starts) == 6)
        recorder.due = [(hint.lane, hint.chunk_id) for hint in high]
        await Bell(kv).ring_many(high)
        await recorder.until(lambda r: len(r.ended) == 7)
    # Without the right of way each of the ten steps would wait for a slice of all six.
    assert at_high[1] - at_high[0] <= 12


async def test_elsewhere_it_is_only_a_pause() -> None:
    await give_way()


async def test_a_steady_trickle_of_high_does_not_stop_lower_work(redis_url: str) -> None:
    recorder, rounds = Recorder(), 0
    recorder.hold = False
    low_done = asyncio.Event()

    async def work(lane: str, _chunk: UUID) -> None:
        nonlocal rounds
        if lane == "high":
            await low_done.wait()
            return
        for _ in range(5):
            rounds += 1
            await give_way()
        low_done.set()

    recorder.on_start = work
    async with Kv(redis_url) as kv, working(redis_url, recorder):
        await Bell(kv).ring_many(hints("high", 1) + hints("low", 1))
        await recorder.until(lambda r: len(r.ended) == 2)
    assert rounds == 5
