"""Fault 19: another program holds SQLite's write lock."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from tests.faults.harness import Clients, Report, assert_safe, check, crowding, quantile, site, until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]
HELD_SECONDS = 10.0


async def test_a_busy_file_is_waited_for_politely_then_refused_and_never_harmed(tmp_path: Path, report: Report) -> None:
    file = tmp_path / "portal.db"
    async with site(tmp_path / "site", f"sqlite:///{file}", workers=1) as running:
        clients = Clients(running)
        clients.start()
        await until(lambda: len(clients.accepted) > 5, "nothing is accepted")
        holder = sqlite3.connect(file, isolation_level=None, timeout=30)
        holder.execute("BEGIN IMMEDIATE")
        started, before = time.monotonic(), len(clients.accepted)
        clients.seconds.clear()
        await asyncio.sleep(HELD_SECONDS)
        during = len(clients.accepted) - before
        holder.execute("COMMIT")
        resumed = await until(lambda: len(clients.accepted) > before + 5, "accepting does not resume", 30)
        held = time.monotonic() - started - resumed
        await clients.stop()
        verdict = await check(running, clients)
        integrity = holder.execute("PRAGMA integrity_check").fetchall()
        holder.close()
        slowest = max(clients.seconds)
        report.add(
            19, "sqlite", verdict, held_s=round(held, 1), statuses=clients.statuses, resumed_s=round(resumed, 3),
            answer_max_s=round(slowest, 3), answer_p99_s=quantile(clients.seconds, 0.99),
        )  # fmt: skip
    assert_safe(verdict)
    assert during == 0
    assert set(clients.statuses) <= {202, 409, 429, 503}
    assert clients.statuses[503] > 0, "whoever waited 5 s was told to come back"
    assert slowest < 9 * crowding()
    assert integrity == [("ok",)]
    assert verdict.duplicates == 0
