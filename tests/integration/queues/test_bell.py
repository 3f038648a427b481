"""The bell: cheap, silent about its failures, and never the reason why a chunk is lost or done twice at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from portal.kv import Kv
from portal.queues import Bell, Hint
from portal.queues.lanes import QUEUES
from tests.integration.queues.private_redis import PrivateRedis
from tests.integration.queues.recorder import Recorder, working


async def test_a_backlog_that_is_rung_again_does_not_grow(redis_url: str) -> None:
    chunks = [Hint("low", uuid4()) for _ in range(50)]
    async with Kv(redis_url) as kv:
        bell = Bell(kv)
        for _ in range(4):
            assert await bell.ring_many(chunks)
        assert await kv.client.zcard(QUEUES["low"]) == 50


async def test_a_ring_while_the_chunk_runs_brings_it_again(redis_url: str) -> None:
    recorder, chunk_id = Recorder(), uuid4()
    recorder.hold = True
    async with Kv(redis_url) as kv, working(redis_url, recorder):
        bell = Bell(kv)
        await bell.ring("high", chunk_id)
        await recorder.until(lambda r: len(r.starts) == 1)
        await bell.ring("high", chunk_id)
        await recorder.until(lambda r: len(r.starts) == 2)
        assert recorder.starts == [("high", chunk_id)] * 2


async def test_a_ring_for_now_does_not_swallow_one_for_later(redis_url: str) -> None:
    recorder, chunk_id = Recorder(), uuid4()
    async with Kv(redis_url) as kv:
        bell = Bell(kv)
        await bell.ring("low", chunk_id, at=datetime.now(UTC) + timedelta(seconds=0.4))
        await bell.ring("low", chunk_id)
        assert await kv.client.zcard(QUEUES["low"]) == 2
        async with working(redis_url, recorder):
            await recorder.until(lambda r: len(r.ended) == 2)


async def test_rings_that_come_together_go_out_together(redis_url: str) -> None:
    async with Kv(redis_url) as kv:
        bell = Bell(kv)
        calls_before = (await kv.client.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)
        assert all(await asyncio.gather(*(bell.ring("high", uuid4()) for _ in range(100))))
        calls = (await kv.client.info("commandstats"))["cmdstat_evalsha"]["calls"] - calls_before
        assert calls <= 4
        assert await kv.client.zcard(QUEUES["high"]) == 100
        assert bell.rung == 100


async def test_without_redis_a_ring_says_false_at_once() -> None:
    async with Kv(None) as kv:
        bell = Bell(kv)
        assert await bell.ring("high", uuid4()) is False
        assert bell.unrung == 1
        assert kv.trouble == "unset"


async def test_a_redis_that_dies_or_is_full_makes_rings_false_never_an_error(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path)
    try:
        async with Kv(server.url) as kv:
            bell = Bell(kv)
            assert await bell.ring("high", uuid4())
            server.client().config_set("maxmemory", 1)
            assert await bell.ring("high", uuid4()) is False
            assert kv.trouble == "memory"
            server.client().config_set("maxmemory", 0)
            assert await kv.check()
            assert await bell.ring("high", uuid4())
            server.process.kill()
            server.process.wait()
            assert await bell.ring("high", uuid4()) is False
            assert kv.trouble == "down"
    finally:
        server.close()


async def test_a_redis_that_forgot_the_script_is_taught_again(redis_url: str) -> None:
    async with Kv(redis_url) as kv:
        bell = Bell(kv)
        assert await bell.ring("high", uuid4())
        await kv.client.script_flush()
        assert await bell.ring("high", uuid4())


async def test_an_unknown_lane_is_refused_quietly(redis_url: str) -> None:
    async with Kv(redis_url) as kv:
        assert await Bell(kv).ring("urgent", uuid4()) is False
