"""Fault 3: all workers at once are killed, again and again, under load."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.harness import Clients, Report, assert_safe, check, site
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(3600)]

SHORT = {"postgresql": 4, "mariadb": 2, "sqlite": 2}
SHARE = {"postgresql": 0.14, "mariadb": 0.12, "sqlite": 0.08}


async def test_a_group_of_workers_killed_together_loses_nothing(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    rounds = report.many(SHORT[database_kind], SHARE[database_kind]) // 2
    random = report.random(3, database_kind)
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=2) as running:
        running.vendor.script(delay=0.3)
        clients = Clients(running)
        clients.start()
        for _ in range(rounds):
            await asyncio.sleep(random.uniform(0.1, 1.5))
            await asyncio.gather(running.kill("worker-1"), running.kill("worker-2"))
            await asyncio.gather(running.restart("worker-1"), running.restart("worker-2"))
        await clients.stop()
        verdict = await check(running, clients)
        # Nobody can take over before a worker has started again: the start counts.
        report.add(3, database_kind, verdict)
    assert_safe(verdict, recovery=20.0)
