"""Redis wiped, full, read-only, without disk, gone and back: the worker names it and goes on by the database."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from portal.kv import Kv
from portal.queues import Bell, LaneWorker
from portal.queues.lanes import QUEUES
from tests.integration.queues.private_redis import PrivateRedis
from tests.integration.queues.recorder import Recorder, hints, working


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    """A Redis that the test may harm."""
    server = PrivateRedis(tmp_path)
    yield server
    server.close()


async def until_trouble(worker: LaneWorker, trouble: str | None, seconds: float = 10) -> None:
    """Wait until the worker's connection says so."""
    changed = asyncio.Event()
    worker.kv.watch(changed.set)
    async with asyncio.timeout(seconds):
        while worker.kv.trouble != trouble:
            await changed.wait()
            changed.clear()


async def due_work_is_done_by_polling(recorder: Recorder) -> None:
    """Put chunks into the "database" and see them handled, high first."""
    recorder.starts.clear()
    recorder.ended.clear()
    low, high = hints("low", 2), hints("high", 2)
    recorder.due = [(hint.lane, hint.chunk_id) for hint in high + low]
    await recorder.until(lambda r: len(r.ended) == 4)
    assert recorder.lanes == ["high", "high", "low", "low"]


async def hints_are_taken_again(worker: LaneWorker, recorder: Recorder) -> None:
    """A ring reaches the worker through Redis."""
    recorder.starts.clear()
    chunk_id = uuid4()
    assert await Bell(worker.kv).ring("high", chunk_id)
    await recorder.until(lambda r: ("high", chunk_id) in r.starts)


async def test_without_redis_the_database_is_polled_with_the_same_reserve() -> None:
    recorder = Recorder()
    recorder.hold = True
    async with working(None, recorder, slots=3, reserve=1) as worker:
        low = hints("low", 5)
        recorder.due = [(hint.lane, hint.chunk_id) for hint in low]
        await recorder.until(lambda r: len(r.starts) == 2 and r.polls > 3)
        assert worker.slots.running == {"low": 2}
        recorder.due = [("high", uuid4()), *recorder.due]
        await recorder.until(lambda r: len(r.starts) == 3)
        assert recorder.lanes == ["low", "low", "high"]


async def test_a_wiped_redis_loses_hints_but_no_worker(server: PrivateRedis) -> None:
    recorder = Recorder()
    recorder.hold = True
    async with working(server.url, recorder, slots=2, reserve=0) as worker:
        await Bell(worker.kv).ring_many(hints("low", 10))
        await recorder.until(lambda r: len(r.starts) == 2)
        server.client().flushall()
        recorder.release.set()
        await recorder.until(lambda r: len(r.ended) == 2)
        await hints_are_taken_again(worker, recorder)


async def test_a_full_redis_is_named_and_the_database_takes_over(
    server: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    async with working(server.url, recorder) as worker:
        await hints_are_taken_again(worker, recorder)
        server.client().config_set("maxmemory", 1)
        await until_trouble(worker, "memory")
        await due_work_is_done_by_polling(recorder)
        assert "out of memory" in caplog.text
        server.client().config_set("maxmemory", 0)
        await until_trouble(worker, None)
        await hints_are_taken_again(worker, recorder)
    assert [record.levelname for record in caplog.records if "trouble=memory:" in record.message] == ["ERROR"]


async def test_a_full_redis_gets_our_own_hints_out_of_the_way(server: PrivateRedis) -> None:
    recorder = Recorder()
    async with Kv(server.url) as kv:
        await Bell(kv).ring_many(hints("low", 700))
        server.client().config_set("maxmemory", 1)
        async with working(server.url, recorder):
            await recorder.until(lambda r: r.polls >= 3)
            assert server.client().zcard(QUEUES["low"]) == 0


async def test_a_read_only_redis_is_named_and_the_database_takes_over(server: PrivateRedis) -> None:
    recorder = Recorder()
    async with working(server.url, recorder) as worker:
        server.client().execute_command("REPLICAOF", "127.0.0.1", "1")
        await until_trouble(worker, "read-only")
        await due_work_is_done_by_polling(recorder)
        server.client().execute_command("REPLICAOF", "NO", "ONE")
        await until_trouble(worker, None)
        await hints_are_taken_again(worker, recorder)


async def test_a_redis_without_disk_is_named_and_the_database_takes_over(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path, file_bytes=20_000)
    recorder = Recorder()
    try:
        async with working(server.url, recorder) as worker:
            server.client().set("filler", b"x" * 40_000)
            await until_trouble(worker, "disk")
            await due_work_is_done_by_polling(recorder)
    finally:
        server.close()


async def test_a_redis_that_is_restarted_is_used_again(server: PrivateRedis) -> None:
    recorder = Recorder()
    async with working(server.url, recorder) as worker:
        await hints_are_taken_again(worker, recorder)
        server.process.send_signal(signal.SIGKILL)
        await until_trouble(worker, "down")
        await due_work_is_done_by_polling(recorder)
        await asyncio.to_thread(server.restart)
        await until_trouble(worker, None)
        await hints_are_taken_again(worker, recorder)


async def test_a_redis_that_hangs_costs_a_bounded_time(server: PrivateRedis) -> None:
    recorder = Recorder()
    async with working(server.url, recorder) as worker:
        await hints_are_taken_again(worker, recorder)
        server.process.send_signal(signal.SIGSTOP)
        await until_trouble(worker, "down", seconds=5)
        assert await Bell(worker.kv).ring("high", uuid4()) is False
        await due_work_is_done_by_polling(recorder)
        server.process.send_signal(signal.SIGCONT)
        await until_trouble(worker, None)
        await hints_are_taken_again(worker, recorder)


async def test_a_worker_that_starts_before_redis_waits_for_it(server: PrivateRedis) -> None:
    recorder = Recorder()
    server.process.kill()
    server.process.wait()
    async with working(server.url, recorder) as worker:
        await due_work_is_done_by_polling(recorder)
        await asyncio.to_thread(server.restart)
        await until_trouble(worker, None)
        await hints_are_taken_again(worker, recorder)


async def test_a_database_that_cannot_be_polled_is_tried_again() -> None:
    recorder, failures = Recorder(), 3

    async def poll() -> list[tuple[str, object]]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise RuntimeError("no database")
        return await Recorder.poll(recorder)  # type: ignore[return-value]

    recorder.poll = poll  # type: ignore[method-assign,assignment]
    async with working(None, recorder):
        recorder.due = [("high", uuid4())]
        await recorder.until(lambda r: len(r.ended) == 1)
