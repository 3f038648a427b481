"""The lanes alone: how soon an idle worker starts what is rung, and how fast two workers drain a backlog of hints.

`python -m benchmarks.queue_latency [REDIS_URL]`; without an address it starts a Valkey of its own. The handler does
nothing and no database takes part: these are the costs of the queue, per chunk of up to 500 notifications.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from portal.kv import Kv
from portal.queues import Bell, Hint, run_lanes
from portal.runtime.valkey import server_binary

RINGS, PAUSE_SECONDS = 500, 0.01
BACKLOG = 5000
WORKERS = 2


async def measure(url: str, *, rings: int = RINGS, backlog: int = BACKLOG) -> dict[str, Any]:
    """Latency of single rings on an idle worker process, then the drain of a backlog by two of them."""
    async with Kv(url) as kv:
        await kv.client.flushdb()
        latency = await _idle(kv, url, rings)
        return {"idle": latency, "drain": await _drain(kv, url, backlog)}


async def _idle(kv: Kv, url: str, rings: int) -> dict[str, float]:
    bell, waits = Bell(kv), []
    async with _worker(url) as worker:
        for _ in range(rings):
            chunk_id = uuid4()
            began = time.perf_counter()
            assert await bell.ring("high", chunk_id)
            started, ident = (await _line(worker)).split()
            assert ident == chunk_id.hex
            # Both processes read one clock: perf_counter is the machine's monotonic clock.
            waits.append((float(started) - began) * 1000)
            await asyncio.sleep(PAUSE_SECONDS)
    waits.sort()
    return {
        "rings": rings,
        "p50_ms": waits[len(waits) // 2],
        "p99_ms": waits[int(len(waits) * 0.99)],
        "max_ms": waits[-1],
    }


async def _drain(kv: Kv, url: str, backlog: int) -> dict[str, float]:
    began = time.perf_counter()
    assert await Bell(kv).ring_many([Hint("low", uuid4()) for _ in range(backlog)])
    ringing = time.perf_counter() - began
    async with _worker(url, quiet=True) as first, _worker(url, quiet=True) as second:
        began = time.perf_counter()
        for worker in (first, second):
            assert worker.stdin is not None
            worker.stdin.write(b"go\n")
        while await kv.client.zcard("portal:lane:low"):
            await asyncio.sleep(0.01)
        seconds = time.perf_counter() - began
        cpu = []
        for worker in (first, second):
            worker.terminate()
            cpu.append(float((await _line(worker)).split()[1]))
    return {
        "hints": backlog,
        "workers": WORKERS,
        "rung_per_second": backlog / ringing,
        "drained_per_second": backlog / seconds,
        "worker_cpu_us_per_hint": sum(cpu) / backlog * 1e6,
    }


@asynccontextmanager
async def _worker(url: str, *, quiet: bool = False) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.queue_latency", "--worker", url, "quiet" if quiet else "loud"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await _line(process) == "ready"
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


async def _work(url: str, quiet: bool) -> None:
    """The worker process: says when each chunk started; a quiet one waits for a line and says its CPU time."""
    import signal

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def handle(_lane: str, chunk_id: UUID) -> None:
        if not quiet:
            print(time.perf_counter(), chunk_id.hex, flush=True)

    async def poll() -> list[tuple[str, UUID]]:
        return []

    async with Kv(url) as kv:
        if quiet:
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
        began = time.process_time()
        await run_lanes(kv, handle, poll, stop=stop, on_worker=None if quiet else lambda _: print("ready", flush=True))
        if quiet:
            print("cpu", time.process_time() - began, flush=True)


async def _with_own_server() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="pp-") as folder:
        socket = Path(folder) / "s"
        options = ["--port", "0", "--unixsocket", str(socket), "--dir", folder, "--appendonly", "yes", "--save", ""]
        server = await asyncio.create_subprocess_exec(
            str(server_binary()), *options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(10):
                while not socket.exists():
                    await asyncio.sleep(0.01)
            return await measure(f"unix://{socket}?db=0")
        finally:
            server.terminate()
            await server.wait()


def main() -> None:
    """Measure and print."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--worker"]:
        import uvloop

        uvloop.run(_work(arguments[1], arguments[2] == "quiet"))
        return
    figures = asyncio.run(measure(arguments[0]) if arguments else _with_own_server())
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
