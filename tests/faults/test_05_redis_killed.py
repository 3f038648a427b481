"""Fault 5: Redis is killed and comes back with its append-only file."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.faults.harness import Clients, Report, assert_safe, check, site
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(3600)]


@pytest.mark.databases("postgresql")
async def test_redis_killed_under_load_costs_nothing_but_a_moment(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    kills = report.many(2, 0.02)
    random = report.random(5)
    async with site(tmp_path / "site", empty_database_url, valkey.url) as running:
        clients = Clients(running)
        clients.start()
        before = sorted(running.alive())
        for _ in range(kills):
            await asyncio.sleep(random.uniform(0.5, 1.5))
            await asyncio.to_thread(valkey.kill)
            await asyncio.sleep(random.uniform(0.0, 2.0))
            await asyncio.to_thread(valkey.start)
        await asyncio.sleep(1)
        await clients.stop()
        assert sorted(running.alive()) == before
        verdict = await check(running, clients)
        times = sorted(line["at"] for line in running.vendor.heard)
        stall = max(later - earlier for earlier, later in itertools.pairwise(times))
        report.add(5, database_kind, verdict, kills=kills, stall_s=round(stall, 3), statuses=clients.statuses)
    assert_safe(verdict)
    assert verdict.duplicates == 0
    assert set(clients.statuses) == {202}
    assert clients.broken == 0
    assert stall < 10
