"""`make bench`: every figure of the README, with the machine's facts, into `benchmarks/results/<date>.json`.

Take --only accept,bulk,drain,high,start,peers for a part, --quick for a short run that only shows that all of it works.
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
    results: dict[str, Any] = {"facts": facts(), "quick": arguments.quick, "command": "make bench"}
    with tempfile.TemporaryDirectory() as name:
        for part in PARTS:
            if part in only:
                results[part] = asyncio.run(_PARTS[part](Path(name), arguments.quick))
                print(f"\n{part}\n{_table(results[part])}", flush=True)
    file = ROOT / "benchmarks" / "results" / f"{datetime.now(UTC):%Y-%m-%d-%H%M}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nwritten: {file.relative_to(ROOT)}")


async def _ready(folder: Path) -> tuple[str, str]:
    database = await fresh_database()
    return database, await prepare(environment(1, database, folder))


async def _accept(folder: Path, quick: bool) -> list[dict[str, Any]]:
    database, key = await _ready(folder)
    seconds, rounds = (2, 1) if quick else (8, 3)
    steps = (64,) if quick else (16, 32, 64, 128)
    return [
        await asyncio.to_thread(accept.measure, database, key, folder, connections=n, seconds=seconds, rounds=rounds)
        for n in steps
    ]


async def _bulk(folder: Path, quick: bool) -> dict[str, Any]:
    database, key = await _ready(folder)
    return await asyncio.to_thread(bulk.measure, database, key, folder, rounds=1 if quick else 5)


async def _drain(folder: Path, quick: bool) -> dict[str, Any]:
    database, _ = await _ready(folder)
    return await deliver.drain(database, folder, size=20_000 if quick else 1_000_000, workers=2)


async def _high(folder: Path, quick: bool) -> list[dict[str, Any]]:
    figures = []
    for waiting in (0, 20_000 if quick else 1_000_000):
        database, key = await _ready(folder)
        figures.append(await deliver.high(database, key, folder, waiting=waiting, seconds=3 if quick else 30))
    return figures


async def _start(_: Path, quick: bool) -> dict[str, Any]:
    return await asyncio.to_thread(start.measure, rounds=1 if quick else 5)


async def _peers(folder: Path, quick: bool) -> dict[str, Any]:
    figures = {}
    for peer in peers.WORKERS:
        if not peers.available(peer):
            figures[peer] = {"skipped": "install requirements/bench.txt"}
            continue
        database, _ = await _ready(folder)
        figures[peer] = await peers.measure(peer, database, folder, connections=64, seconds=2 if quick else 8)
    return figures


_PARTS = {"start": _start, "accept": _accept, "bulk": _bulk, "high": _high, "drain": _drain, "peers": _peers}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


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
