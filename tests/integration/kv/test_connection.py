"""What `Kv` says of Redis, and how loudly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError, WatchError

from portal.kv import Kv
from tests.integration.queues.private_redis import PrivateRedis


async def settled(kv: Kv, condition: Callable[[], bool]) -> None:
    """Wait for a change after which the condition holds."""
    changed = asyncio.Event()
    kv.watch(changed.set)
    async with asyncio.timeout(10):
        while not condition():
            await changed.wait()
            changed.clear()


async def test_each_change_writes_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "portal.kv")
    server = PrivateRedis(tmp_path)
    try:
        async with Kv(server.url) as kv:
            assert kv.up
            server.process.kill()
            server.process.wait()
            await settled(kv, lambda: not kv.up)
            for _ in range(3):
                assert not await kv.check()
            await asyncio.to_thread(server.restart)
            await settled(kv, lambda: kv.up)
    finally:
        server.close()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "trouble=down" in caplog.records[0].message
    assert "is back" in caplog.records[1].message


async def test_a_harmless_error_changes_nothing(redis_url: str) -> None:
    async with Kv(redis_url) as kv:
        assert kv.note(WatchError("changed")) == "contention"
        assert kv.note(ResponseError("WRONGTYPE")) == "error"
        assert kv.up


async def test_an_error_takes_redis_out_of_use_and_the_check_brings_it_back(redis_url: str) -> None:
    async with Kv(redis_url) as kv:
        assert kv.note(RedisConnectionError("reset")) == "down"
        assert not kv.up
        assert "does not answer" in kv.sentence
        await settled(kv, lambda: kv.up)


async def test_a_wrong_password_is_told_from_a_dead_server(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path)
    try:
        server.client().config_set("requirepass", "right")
        async with Kv(server.url) as kv:
            assert kv.trouble == "denied"
    finally:
        server.close()


async def test_a_task_that_uses_redis_can_be_cancelled_at_any_moment(redis_url: str) -> None:
    async def keep_writing(kv: Kv) -> None:
        while True:
            await kv.client.set("key", "value")

    async with Kv(redis_url) as kv:
        for turns in range(150):
            task = asyncio.create_task(keep_writing(kv))
            for _ in range(turns % 15 + 1):
                await asyncio.sleep(0)
            task.cancel()
            # A swallowed cancellation would let the task write for ever.
            done, _ = await asyncio.wait({task}, timeout=5)
            assert done
            assert task.cancelled()
