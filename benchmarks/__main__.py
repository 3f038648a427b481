"""`make bench`: every figure of the README, with the machine's facts, into `benchmarks/results/<date>.json`.

Take --only accept,bulk,drain,high,start,peers for a part; --seconds, --rounds, --connections and --backlog for a shorter run,
--quick for one that only shows that all of it works. What was asked for is written with the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import accept, bulk, deliver, start
from benchmarks.peers import measure as peers
from benchmarks.prepare import prepare
from benchmarks.stage import ROOT, environment, facts, fresh_database

PARTS = ("start", "accept", "bulk", "high", "drain", "peers")


def main() -> None:
    """Measure and write."""
    arguments = _arguments()
    only = arguments.only.split(",") if arguments.only else PARTS
    results: dict[str, Any] = {"facts": facts(), "arguments": vars(arguments)}
    with tempfile.TemporaryDirectory() as name:
        for part in PARTS:
            if part in only:
                results[part] = asyncio.run(_PARTS[part](Path(name), arguments))
                print(f"\n{part}\n{_table(results[part])}", flush=True)
    file = ROOT / "benchmarks" / "results" / f"{datetime.now(UTC):%Y-%m-%d-%H%M}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nwritten: {file.relative_to(ROOT)}")


async def _ready(folder: Path) -> tuple[str, str]:
    database = await fresh_database()
    return database, await prepare(environment(1, database, folder))


async def _accept(folder: Path, asked: argparse.Namespace) -> list[dict[str, Any]]:
    database, key = await _ready(folder)
    return [
        await asyncio.to_thread(
            accept.measure, database, key, folder, connections=n, seconds=asked.seconds, rounds=asked.rounds
        )
        for n in map(int, asked.connections.split(","))
    ]


async def _bulk(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    database, key = await _ready(folder)
    return await asyncio.to_thread(bulk.measure, database, key, folder, rounds=asked.rounds)


async def _drain(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    database, _ = await _ready(folder)
    return await deliver.drain(database, folder, size=asked.backlog, workers=2)


async def _high(folder: Path, asked: argparse.Namespace) -> list[dict[str, Any]]:
    figures = []
    for waiting in (0, asked.backlog):
        database, key = await _ready(folder)
        figures.append(await deliver.high(database, key, folder, waiting=waiting, seconds=asked.seconds * 3))
    return figures


async def _start(_: Path, asked: argparse.Namespace) -> dict[str, Any]:
    return await asyncio.to_thread(start.measure, rounds=asked.rounds)


async def _peers(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    figures = {}
    for peer in peers.WORKERS:
        if not peers.available(peer):
            figures[peer] = {"skipped": "install requirements/bench.txt"}
            continue
        database, _ = await _ready(folder)
        figures[peer] = await peers.measure(peer, database, folder, connections=64, seconds=asked.seconds)
    return figures


_PARTS = {"start": _start, "accept": _accept, "bulk": _bulk, "high": _high, "drain": _drain, "peers": _peers}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=int, default=8, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is taken")
    parser.add_argument("--connections", default="16,32,64,128", help="of single sends")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="notifications")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.rounds, arguments.connections, arguments.backlog = 2, 1, "64", 20_000
    return arguments


def _table(figures: Any, indent: str = "  ") -> str:
    if isinstance(figures, list):
        return "\n".join(_table(each, indent) for each in figures)
    lines = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            row = "  ".join(f"{key} {_number(each)}" for key, each in value.items())
            lines.append(f"{indent}{name:<14} {row}")
        else:
            lines.append(f"{indent}{name:<22} {_number(value)}")
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
