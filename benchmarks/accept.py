"""Figure 1: single sends, durable. In turns with two ceilings, so that the machine's mood is the same for all."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.stage import LUA, Cpu, environment, portal, process, wrk

PORT = 18400
GRANIAN = [
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
SUBJECTS = ("bare", "coalescing", "portal")


def measure(database: str, key: str, folder: Path, *, connections: int, seconds: int, rounds: int) -> dict[str, Any]:
    """Medians over `rounds` turns of all three, each `seconds` long."""
    runs: dict[str, list[dict[str, float]]] = {subject: [] for subject in SUBJECTS}
    for _ in range(rounds):
        for subject in SUBJECTS:
            runs[subject].append(_one(subject, database, key, folder, connections, seconds))
    figures = {subject: _medians(taken) for subject, taken in runs.items()}
    ours = figures["portal"]["rate"]
    return {
        "connections": connections,
        **figures,
        "of_coalescing": ours / figures["coalescing"]["rate"],
        "of_bare": ours / figures["bare"]["rate"],
    }


def _one(subject: str, database: str, key: str, folder: Path, connections: int, seconds: int) -> dict[str, float]:
    env = environment(PORT, database, folder)
    if subject == "portal":
        argv, path = portal("serve"), "/api/v1/notifications"
    else:
        argv, path = [*GRANIAN, "--port", str(PORT), f"benchmarks.ceilings:{subject}"], "/"
    url = f"http://127.0.0.1:{PORT}"
    with process(argv, env, ready=f"{url}/health") as server:
        wrk(url + path, LUA, connections=connections, seconds=2, args=[key, "low"])
        cpu = Cpu(server=server)
        figures = wrk(url + path, LUA, connections=connections, seconds=seconds, args=[key, "low"])
        used = cpu.used()
    for name, spent in (("server", used["server"]), ("postgres", used["postgres"]), ("client", figures["client_cpu"])):
        figures[f"{name}_us"] = spent / figures["n"] * 1e6
    return figures


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
