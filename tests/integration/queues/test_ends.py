"""How workers end, and what becomes of what they were doing."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from portal.kv import Kv
from portal.queues import Bell, Hint
from portal.queues.lanes import QUEUES
from tests.integration.queues.recorder import Recorder, working

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def lane_process(url: str, seconds: float) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process that holds each chunk for so long; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.queues.lane_process",
        url,
        str(seconds),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert await line(process) == "ready"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process: asyncio.subprocess.Process) -> str:
    """The next line it says."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 15)).decode().strip()


async def test_what_a_killed_worker_did_runs_elsewhere_within_four_seconds(redis_url: str) -> None:
    recorder, chunk_id = Recorder(), uuid4()
    async with Kv(redis_url) as kv:
        async with lane_process(redis_url, 60) as process:
            await Bell(kv).ring("high", chunk_id)
            assert await line(process) == f"start high {chunk_id}"
            async with working(redis_url, recorder):
                process.kill()
                killed = time.monotonic()
                await recorder.until(lambda r: bool(r.ended))
                assert time.monotonic() - killed < 4
        assert recorder.starts == [("high", chunk_id)]
        assert await kv.client.keys("arq:*") == []


async def test_sigterm_lets_running_chunks_end_and_touches_no_other(redis_url: str) -> None:
    async with Kv(redis_url) as kv, lane_process(redis_url, 0.6) as process:
        running, waiting = uuid4(), uuid4()
        await Bell(kv).ring("low", running)
        assert await line(process) == f"start low {running}"
        process.send_signal(signal.SIGTERM)
        await Bell(kv).ring("low", waiting)
        assert await line(process) == f"end {running}"
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert await kv.client.zrange(QUEUES["low"], 0, -1) == [waiting.hex.encode()]
        assert await kv.client.keys("arq:in-progress:*") == []


async def test_what_outlives_the_drain_is_cancelled_and_free_for_others_at_once(redis_url: str) -> None:
    first, second, chunk_id = Recorder(), Recorder(), uuid4()
    async with Kv(redis_url) as kv:
        first.on_start = lambda _lane, _chunk: asyncio.Event().wait()  # type: ignore[assignment,return-value]
        async with working(redis_url, first, drain_seconds=0.1):
            await Bell(kv).ring("medium", chunk_id)
            await first.until(lambda r: bool(r.starts))
        assert first.cancelled == [chunk_id]
        async with working(redis_url, second):
            await second.until(lambda r: bool(r.ended), 2)
        assert second.starts == [("medium", chunk_id)]


async def test_a_chunk_longer_than_the_lock_is_not_started_twice(redis_url: str) -> None:
    first, second = Recorder(), Recorder()
    first.hold = True
    async with Kv(redis_url) as kv, working(redis_url, first) as worker:
        await Bell(kv).ring("high", uuid4())
        await first.until(lambda r: len(r.starts) == 1)
        lock = (await kv.client.keys("arq:in-progress:*"))[0]
        async with working(redis_url, second):
            for _ in range(3):
                # Renewed: what is left of the lock never falls to nothing while the heart beats.
                await kv.client.pexpire(lock, 100)
                await worker.heart_beat()
                assert await kv.client.pttl(lock) > 2000
            await Bell(kv).ring_many([Hint("high", uuid4()) for _ in range(3)])
            await second.until(lambda r: len(r.starts) >= 1)
        assert len(set(first.starts) & set(second.starts)) == 0


async def test_an_error_of_the_handler_is_logged_by_type_and_the_hint_is_done_with(
    redis_url: str, caplog: object
) -> None:
    import pytest

    assert isinstance(caplog, pytest.LogCaptureFixture)
    recorder = Recorder()

    async def fail(_lane: str, _chunk: object) -> None:
        raise ValueError("Dear Ann, your code is 123456")

    recorder.on_start = fail
    async with Kv(redis_url) as kv, working(redis_url, recorder) as worker:
        await Bell(kv).ring("high", uuid4())
        await recorder.until(lambda r: len(r.starts) == 1)
        async with asyncio.timeout(5):
            while worker.tasks:
                await asyncio.wait(list(worker.tasks.values()))
        assert await kv.client.keys("arq:*") == []
    assert "ValueError" in caplog.text
    assert "Ann" not in caplog.text
    assert "123456" not in caplog.text


async def test_a_handler_that_exits_the_interpreter_does_not_end_the_worker(redis_url: str) -> None:
    recorder = Recorder()

    async def leave(_lane: str, _chunk: object) -> None:
        if len(recorder.starts) == 1:
            raise SystemExit(3)

    recorder.on_start = leave
    async with Kv(redis_url) as kv, working(redis_url, recorder):
        await Bell(kv).ring("high", uuid4())
        await recorder.until(lambda r: len(r.starts) == 1)
        await Bell(kv).ring("high", uuid4())
        await recorder.until(lambda r: len(r.ended) == 1)
