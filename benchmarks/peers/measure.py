"""The peers' figures: accepted per second with p99, and drained per second, on the same machine in the same run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.stage import LUA, environment, process, wrk

PORT = 18404
DRAIN_SECONDS = 60
WORKERS = {
    "celery": [
        "-m",
        "celery",
        "-A",
        "benchmarks.peers.celery_worker",
        "worker",
        "-l",
        "error",
        "-c",
        "2",
        "-Q",
        "celery",
    ],
    "arq": ["-m", "arq", "benchmarks.peers.arq_worker.WorkerSettings"],
}


def available(peer: str) -> bool:
    """Whether the peer's packages are installed (requirements/bench.txt)."""
    check = "import fastapi, celery, psycopg" if peer == "celery" else "import fastapi, arq"
    return subprocess.run([sys.executable, "-c", check], capture_output=True).returncode == 0


async def measure(peer: str, database: str, folder: Path, *, connections: int, seconds: int) -> dict[str, Any]:
    """One run: accept for `seconds`, then drain what was accepted with one worker."""
    env = environment(PORT, database, folder, PEER=peer, PEER_KEY="bench")
    conn = await asyncpg.connect(database)
    await conn.execute("DROP TABLE IF EXISTS peer_notification")
    argv = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "asgi",
        "--loop",
        "uvloop",
        "--no-ws",
        "--log-level",
        "error",
    ]
    app = [*argv, "--port", str(PORT), "benchmarks.peers.accept_app:app"]
    with process(app, env, ready=f"http://127.0.0.1:{PORT}/health"):
        url = f"http://127.0.0.1:{PORT}/"
        figures: dict[str, Any] = wrk(url, LUA, connections=connections, seconds=seconds, args=["bench", "low"])
    if figures["bad"]:
        # Answers that are errors are no rate; what is wrong with the peer's set-up must be mended first.
        await conn.close()
        return {"failed": f"{figures['bad']:.0f} of {figures['n']:.0f} answers were errors"}
    total = await conn.fetchval("SELECT count(*) FROM peer_notification")
    with process([sys.executable, *WORKERS[peer]], env):
        started = time.perf_counter()
        while await conn.fetchval("SELECT count(*) FROM peer_notification WHERE status <> 'sent'"):
            if time.perf_counter() - started > DRAIN_SECONDS:
                break
            time.sleep(0.5)
        left = await conn.fetchval("SELECT count(*) FROM peer_notification WHERE status <> 'sent'")
        figures["left_after_60_s"] = left
        figures["drain_rate"] = (total - left) / (time.perf_counter() - started)
    await conn.close()
    return figures
