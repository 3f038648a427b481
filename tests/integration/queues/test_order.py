"""High first, always, and never without a slot kept for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from portal.kv import Kv
from portal.queues import Bell, Hint
from portal.queues.lanes import QUEUES
from tests.integration.queues.recorder import Recorder, hints, working


async def test_high_goes_before_medium_before_low_also_when_it_comes_late(redis_url: str) -> None:
    recorder = Recorder()
    async with Kv(redis_url) as kv:
        bell = Bell(kv)
        assert await bell.ring_many(hints("low", 30) + hints("medium", 20) + hints("high", 10))

        async def ring_late(_lane: str, _chunk_id: object) -> None:
            if len(recorder.starts) == 20:
                assert await bell.ring_many(hints("high", 6))

        recorder.on_start = ring_late
        async with working(redis_url, recorder, slots=1, reserve=0):
            await recorder.until(lambda r: len(r.ended) == 66)
        assert recorder.lanes == ["high"] * 10 + ["medium"] * 10 + ["high"] * 6 + ["medium"] * 10 + ["low"] * 30
        assert await kv.client.keys("arq:*") == []
        assert await kv.client.exists(*QUEUES.values()) == 0


async def test_lower_lanes_leave_the_reserve_free_and_high_takes_it(redis_url: str) -> None:
    recorder = Recorder()
    recorder.hold = True
    async with Kv(redis_url) as kv, working(redis_url, recorder, slots=4, reserve=2) as worker:
        bell = Bell(kv)
        await bell.ring_many(hints("low", 5) + hints("medium", 5))
        await recorder.until(lambda r: len(r.starts) == 2)
        assert recorder.lanes == ["medium", "medium"]
        assert worker.slots.free == 2
        assert worker.slots.free_for_lower == 0
        await bell.ring_many(hints("high", 2))
        await recorder.until(lambda r: len(r.starts) == 4)
        assert recorder.lanes[2:] == ["high", "high"]
        assert worker.slots.running == {"medium": 2, "high": 2}


async def test_a_worker_never_runs_more_than_its_slots(redis_url: str) -> None:
    recorder, most = Recorder(), 0
    async with Kv(redis_url) as kv, working(redis_url, recorder, slots=3, reserve=1) as worker:

        async def look(_lane: str, _chunk_id: object) -> None:
            nonlocal most
            most = max(most, sum(worker.slots.running.values()))

        recorder.on_start = look
        await Bell(kv).ring_many(hints("high", 40) + hints("low", 40))
        await recorder.until(lambda r: len(r.ended) == 80)
        assert 1 <= most <= 3


async def test_two_workers_share_and_no_chunk_runs_twice(redis_url: str) -> None:
    recorder, wanted = Recorder(), hints("low", 200)
    async with Kv(redis_url) as kv, working(redis_url, recorder) as left, working(redis_url, recorder) as right:
        await Bell(kv).ring_many(wanted)
        await recorder.until(lambda r: len(r.ended) == 200)
    assert sorted(recorder.ended) == sorted(hint.chunk_id for hint in wanted)
    assert left.jobs_complete > 0
    assert right.jobs_complete > 0


@pytest.mark.parametrize(("bound", "first", "counted"), [(None, "high", 0), (60.0, "low", 1)])
async def test_a_starved_hint_is_taken_first_only_when_a_bound_is_set(
    redis_url: str, bound: float | None, first: str, counted: int
) -> None:
    recorder, old = Recorder(), uuid4()
    recorder.hold = True
    async with Kv(redis_url) as kv:
        bell = Bell(kv)
        await bell.ring("low", old)
        await kv.client.zadd(QUEUES["low"], {old.hex: 1})
        await bell.ring_many(hints("high", 3))
        async with working(redis_url, recorder, slots=1, reserve=0, starvation_seconds=bound) as worker:
            await recorder.until(lambda r: len(r.starts) == 1)
            assert recorder.lanes == [first]
            assert worker.starvation_picks == counted


async def test_a_later_hint_waits_for_its_time(redis_url: str) -> None:
    recorder = Recorder()
    async with Kv(redis_url) as kv, working(redis_url, recorder):
        bell, at = Bell(kv), datetime.now(UTC) + timedelta(seconds=0.7)
        later, now = uuid4(), uuid4()
        assert await bell.ring_many([Hint("high", later, at), Hint("high", now)])
        await recorder.until(lambda r: len(r.starts) == 2)
        assert [chunk for _, chunk in recorder.starts] == [now, later]
        assert timedelta(0) <= datetime.now(UTC) - at < timedelta(seconds=0.4)
