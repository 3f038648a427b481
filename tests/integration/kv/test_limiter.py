"""Buckets that several processes share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

from portal.kv import Kv, Limiter
from portal.kv.limiter import GRANT_SECONDS
from tests.integration.queues.private_redis import PrivateRedis


@contextlib.asynccontextmanager
async def limiting(kv: Kv) -> AsyncIterator[Limiter]:
    """A limiter as one process has it."""
    limiter = await Limiter(kv).start()
    try:
        yield limiter
    finally:
        await limiter.close()


async def test_a_bucket_holds_its_burst_then_refuses_until_a_token_is_there(redis_url: str) -> None:
    async with Kv(redis_url) as kv, limiting(kv) as limiter:
        key = uuid4().hex
        verdicts = [await limiter.admit(key, 10.0, 5) for _ in range(7)]
        assert [verdict.allowed for verdict in verdicts] == [True] * 5 + [False] * 2
        assert [verdict.remaining for verdict in verdicts[:5]] == [4, 3, 2, 1, 0]
        assert all(verdict.limit == 5 for verdict in verdicts)
        assert 0 < verdicts[-1].retry_after <= 0.1
        assert 0 < verdicts[-1].reset_seconds <= 0.5
        await asyncio.sleep(verdicts[-1].retry_after)
        assert (await limiter.admit(key, 10.0, 5)).allowed


async def test_a_busy_key_is_served_from_a_grant_without_asking(redis_url: str) -> None:
    async with Kv(redis_url) as kv, limiting(kv) as limiter:
        key, asked, allowed = uuid4().hex, 0, 0
        for _ in range(200):
            for _ in range(20):
                verdict = limiter.take(key, 20_000.0, 20_000)
                if verdict is None:
                    asked += 1
                    verdict = await limiter.admit(key, 20_000.0, 20_000)
                allowed += verdict.allowed
            await asyncio.sleep(0)
        assert allowed == 4000
        assert asked < 200
        # A process holds little: whoever dies takes no more than this with it.
        assert limiter._purses[key].grant <= 2 * 20_000 * GRANT_SECONDS


async def test_unused_grants_go_back(redis_url: str) -> None:
    async with Kv(redis_url) as kv, limiting(kv) as first, limiting(kv) as second:
        key, rate, burst = uuid4().hex, 0.01, 100
        assert await first.admit(key, rate, burst)
        first._purses[key].spent = 10_000  # as if it had been busy: the next grant is large
        purse = first._purses[key]
        purse.rate = 1000.0
        await first._settle(purse)
        assert purse.grant > 1
        purse.rate = rate
        for _ in range(3):
            first._collect_unused()
        assert purse.grant == 0
        await first._ask(purse)
        verdict = await second.admit(key, rate, burst)
        assert verdict.remaining >= burst - 3


async def test_without_redis_each_process_has_its_share() -> None:
    async with Kv(None) as kv:
        limiter = Limiter(kv, processes=4)
        verdicts = [limiter.take("key", 100.0, 20) for _ in range(8)]
        assert [verdict is not None and verdict.allowed for verdict in verdicts] == [True] * 5 + [False] * 3
        assert verdicts[-1] is not None
        assert verdicts[-1].limit == 5
        assert 0 < verdicts[-1].retry_after <= 1 / 25


async def test_processes_are_counted_and_the_count_outlives_redis(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path)
    try:
        async with Kv(server.url) as kv, Kv(server.url) as other, limiting(other), limiting(kv) as limiter:
            assert limiter.processes == 2
            server.process.kill()
            server.process.wait()
            assert not await kv.check()
            verdicts = [limiter.take("key", 1.0, 10) for _ in range(6)]
            assert sum(verdict is not None and verdict.allowed for verdict in verdicts) == 5
    finally:
        server.close()


async def test_a_redis_that_dies_in_the_middle_refuses_nobody_wrongly(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path)
    try:
        async with Kv(server.url) as kv, limiting(kv) as limiter:
            assert (await limiter.admit("key", 1000.0, 1000)).allowed
            server.process.kill()
            server.process.wait()
            assert (await limiter.admit("key", 1000.0, 1000)).allowed
            assert kv.trouble == "down"
    finally:
        server.close()


async def test_many_keys_are_asked_about_in_few_calls(redis_url: str) -> None:
    async with Kv(redis_url) as kv, limiting(kv) as limiter:
        await kv.client.config_resetstat()
        verdicts = await asyncio.gather(*(limiter.admit(uuid4().hex, 1.0, 1) for _ in range(300)))
        assert all(verdict.allowed for verdict in verdicts)
        assert (await kv.client.info("commandstats"))["cmdstat_evalsha"]["calls"] < 20
