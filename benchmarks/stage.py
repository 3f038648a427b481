"""The stage of a benchmark: real processes on loopback, a database of its own, and the CPU time each of them used."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from redis.asyncio import Redis

ROOT = Path(__file__).resolve().parents[1]
POSTGRES = os.environ.get("PORTAL_BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432/")
REDIS = os.environ.get("PORTAL_BENCH_REDIS", "redis://127.0.0.1:6379/9")
DATABASE = "portal_bench"
SECRET = "YmVuY2htYXJrcy1uZWVkLW5vLXNlY3JldC1hdC1hbGw="


def facts() -> dict[str, Any]:
    """What a figure must be read with: the machine, the versions, the commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "commit": commit.strip(),
        "load_before": os.getloadavg()[0],
    }


async def fresh_database() -> str:
    """An empty database with fsync on, and an empty Redis database beside it; its address."""
    async with Redis.from_url(REDIS) as redis:
        await redis.flushdb()
    conn = await asyncpg.connect(POSTGRES + "postgres")
    try:
        await conn.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        await conn.execute(f"CREATE DATABASE {DATABASE}")
        if await conn.fetchval("SHOW fsync") != "on" or await conn.fetchval("SHOW synchronous_commit") == "off":
            raise SystemExit("these figures promise durability: set fsync and synchronous_commit on")
    finally:
        await conn.close()
    return POSTGRES + DATABASE


def environment(port: int, database: str, folder: Path, **more: str) -> dict[str, str]:
    """What a process of ours is started with."""
    ours = {
        "PORTAL_HOST": "127.0.0.1",
        "PORTAL_PORT": str(port),
        "PORTAL_DATA_DIR": str(folder),
        "PORTAL_DATABASE_URL": database,
        "PORTAL_REDIS_URL": REDIS,
        "PORTAL_SECRET_KEY": SECRET,
        "PORTAL_RATE_PER_SECOND": "1000000",
        "PORTAL_BULK_APPROVAL_THRESHOLD": "100000000",
        "PORTAL_LOG_LEVEL": "warning",
    }
    return {**os.environ, **ours, **more}


@contextlib.contextmanager
def process(argv: list[str], env: Mapping[str, str], *, ready: str | None = None) -> Iterator[psutil.Process]:
    """A child that is ended by its pid; `ready` is an address that must answer before the block begins."""
    child = subprocess.Popen(argv, env=dict(env), cwd=ROOT, start_new_session=True)
    try:
        if ready is not None:
            _wait_for(ready, child)
        yield psutil.Process(child.pid)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def portal(*words: str) -> list[str]:
    """The command line of one of our commands."""
    return [sys.executable, "-m", "portal.cli", *words]


def _wait_for(url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise SystemExit(f"{child.args!r} ended with {child.returncode}")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise SystemExit(f"{url} does not answer")


class Cpu:
    """CPU seconds of named groups of processes, children included, between two readings."""

    def __init__(self, **groups: psutil.Process | list[psutil.Process]) -> None:
        self._groups = {name: group if isinstance(group, list) else [group] for name, group in groups.items()}
        self._groups["postgres"] = [p for p in psutil.process_iter(["name"]) if p.info["name"] == "postgres"]
        self._before = self._read()

    def used(self) -> dict[str, float]:
        """Seconds since the object was made."""
        after = self._read()
        return {name: after[name] - self._before.get(name, 0.0) for name in after}

    def _read(self) -> dict[str, float]:
        return {name: sum(_seconds(p) for p in group) for name, group in self._groups.items()}


def _seconds(process_: psutil.Process) -> float:
    total = 0.0
    with contextlib.suppress(psutil.Error):
        for one in [process_, *process_.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                times = one.cpu_times()
                total += times.user + times.system
    return total


def wrk(url: str, script: str, *, connections: int, seconds: int, args: list[str]) -> dict[str, float]:
    """Load from wrk with one thread: requests/s, p50 and p99 in ms, errors, and wrk's own CPU seconds."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        before = os.times()
        command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", file.name, url, "--", *args]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        after = os.times()
    text = done.stdout
    figure = re.search(r"rate=([\d.]+) p50=([\d.]+) p99=([\d.]+) bad=(\d+) n=(\d+)", text)
    if figure is None:
        raise SystemExit(text + done.stderr)
    rate, p50, p99, bad, n = (float(part) for part in figure.groups())
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"rate": rate, "p50_ms": p50, "p99_ms": p99, "bad": bad, "n": n, "client_cpu": cpu}


LUA = """
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function init(args) wrk.headers["Authorization"] = "Bearer " .. args[1] lane = args[2] or "medium" end
request = function()
  n = n + 1
  -- Another recipient each time: nothing may be fast because it was asked before.
  local body = string.format('{"template":"bench","to":{"channel":"sms","address":"+4479%08d"},'
    .. '"data":{"name":"Ann","number":%d},"priority":"%s","reference":"b-%d"}', n % 100000000, n, lane, n)
  return wrk.format(nil, nil, nil, body)
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("rate=%f p50=%f p99=%f bad=%d n=%d\\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, e.status + e.connect + e.read + e.write + e.timeout,
    summary.requests))
end
"""


async def until(condition: Any, *, seconds: float, every: float = 0.1) -> None:
    """Wait until `await condition()` is true."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(condition)
        await asyncio.sleep(every)
