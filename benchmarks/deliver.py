"""Figures 3 and 4: a backlog drained end to end through the sandbox provider, and how long high waits meanwhile."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import psutil

from benchmarks.prepare import backlog
from benchmarks.stage import Cpu, environment, portal, process
from portal.settings import load

PORT = 18402
LEFT = """SELECT (SELECT count(*) FROM notification WHERE status IN ('held','scheduled','accepted','planned'))
          + (SELECT coalesce(sum(size), 0) FROM chunk WHERE members IS NOT NULL)"""
# From the accept's own time stamp to the instant at which the sandbox provider got the message.
HIGH = """SELECT extract(epoch FROM s.created_at - n.created_at) * 1000 AS ms FROM sandbox_message s
          JOIN notification n ON n.id = s.notification_id WHERE n.lane = 'high' AND n.reference = $1"""
INVERSIONS = "SELECT coalesce(sum(n), 0) FROM ledger_count WHERE event = 'inversion'"


async def drain(database: str, folder: Path, *, size: int, workers: int) -> dict[str, Any]:
    """Accepted, planned, rendered, attempts recorded, settled: notifications per second, memory and CPU."""
    env = environment(PORT, database, folder)
    await backlog(load(env), size)
    conn = await asyncpg.connect(database)
    memory: list[int] = []
    with ExitStack() as stack:
        started = time.perf_counter()
        processes = [stack.enter_context(process(portal("worker"), env)) for _ in range(workers)]
        cpu = Cpu(worker=processes)
        done_at: list[tuple[float, int]] = []
        while left := await conn.fetchval(LEFT):
            done_at.append((time.perf_counter() - started, size - int(left)))
            memory.append(sum(_rss(p) for p in processes))
            if time.perf_counter() - started > 1800:
                raise TimeoutError("the backlog is not drained")
            await asyncio.sleep(1)
        seconds = time.perf_counter() - started
        used = cpu.used()
    await conn.close()
    # The first seconds are the start of the processes, not their work.
    begun = next((at for at, done in done_at if done), 0.0)
    steady = memory[len(memory) // 4 :] or memory
    return {
        "notifications": size,
        "workers": workers,
        "rate": size / (seconds - begun),
        "seconds": seconds,
        "rss_mib_first_quarter": max(memory[: max(1, len(memory) // 4)], default=0) / 2**20,
        "rss_mib_max": max(memory, default=0) / 2**20,
        "rss_spread": (max(steady) - min(steady)) / max(steady) if steady else 0.0,
        **{f"{name}_us": value / size * 1e6 for name, value in used.items()},
    }


async def high(database: str, key: str, folder: Path, *, waiting: int, seconds: float) -> dict[str, Any]:
    """Accepted → provider called for single high sends, twenty a second, while `waiting` low ones are in the queue."""
    env = environment(PORT, database, folder)
    if waiting:
        await backlog(load(env), waiting)
    conn = await asyncpg.connect(database)
    before = await conn.fetchval(INVERSIONS)
    reference = f"high-{waiting}-{time.time_ns()}"
    url = f"http://127.0.0.1:{PORT}"
    with process(portal("serve"), env, ready=f"{url}/health"), process(portal("worker"), env):
        await asyncio.sleep(3)
        async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
            sent = 0
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                body = {
                    "template": "bench",
                    "to": {"channel": "sms", "address": f"+4478{sent:08d}"},
                    "data": {"name": "Ann", "number": sent},
                    "priority": "high",
                    "reference": reference,
                }
                answer = await client.post("/api/v1/notifications", json=body)
                answer.raise_for_status()
                sent += 1
                await asyncio.sleep(0.05)
        taken: list[float] = []
        for _ in range(100):
            taken = sorted(float(row["ms"]) for row in await conn.fetch(HIGH, reference))
            if len(taken) == sent:
                break
            await asyncio.sleep(0.1)
        left = await conn.fetchval(LEFT)
    inversions = int(await conn.fetchval(INVERSIONS)) - int(before)
    await conn.close()
    return {
        "low_waiting_before": waiting,
        "low_waiting_after": int(left),
        "sent": sent,
        "arrived": len(taken),
        "p50_ms": statistics.median(taken) if taken else None,
        "p99_ms": taken[max(0, round(len(taken) * 0.99) - 1)] if taken else None,
        "inversions": inversions,
    }


def _rss(process_: psutil.Process) -> int:
    try:
        return sum(one.memory_info().rss for one in [process_, *process_.children(recursive=True)])
    except psutil.Error:
        return 0
