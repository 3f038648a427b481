"""Figure 2: the bulk door, in notifications accepted per second."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from benchmarks.stage import Cpu, environment, portal, process

PORT = 18401
ITEMS = 100_000


def measure(database: str, key: str, folder: Path, *, rounds: int) -> dict[str, Any]:
    """Median over `rounds` requests of 100,000 items each, NDJSON, one at a time."""
    lines = [
        msgspec.json.encode(
            {
                "template": "bench",
                "to": {"channel": "sms", "address": f"+4479{n:08d}"},
                "data": {"name": "Ann", "number": n},
                "priority": "low",
            }
        )
        for n in range(ITEMS)
    ]
    body = b"\n".join(lines)
    env = environment(PORT, database, folder)
    runs = []
    with process(portal("serve"), env, ready=f"http://127.0.0.1:{PORT}/health") as server:
        for _ in range(rounds):
            cpu = Cpu(server=server)
            started = time.perf_counter()
            answer = httpx2.post(
                f"http://127.0.0.1:{PORT}/api/v1/notifications/bulk",
                content=body,
                headers={"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"},
                timeout=120,
            )
            seconds = time.perf_counter() - started
            result = answer.json()
            if answer.status_code != 202 or result["accepted"] != ITEMS:
                raise SystemExit(f"bulk answered {answer.status_code}: {answer.text[:300]}")
            runs.append({"rate": ITEMS / seconds, **{f"{k}_us": v / ITEMS * 1e6 for k, v in cpu.used().items()}})
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
