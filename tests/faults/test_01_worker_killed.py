"""Fault 1: a worker is killed in the middle of its work, at named points and at random instants."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.harness import Clients, Report, assert_safe, check, site, until
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(3600)]

POINTS = ("after_claim", "after_plan", "after_send", "before_settle")
SHORT = {"postgresql": 4, "mariadb": 2, "sqlite": 2}
SHARE = {"postgresql": 0.25, "mariadb": 0.15, "sqlite": 0.1}


@pytest.mark.databases("postgresql")
async def test_a_worker_that_dies_at_a_named_point_loses_nothing(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=1) as running:
        running.vendor.script(delay=0.02)
        clients = Clients(running)
        clients.start()
        for number, point in enumerate(POINTS):
            name = f"doomed-{number}"
            running.start_worker(name, failpoints=f"{point}=kill@{5 + 3 * number}")
            await running.kill(name, wait=True)
        await clients.stop()
        verdict = await check(running, clients)
        report.add(1, database_kind, verdict, points=list(POINTS))
    assert_safe(verdict)
    assert len(running.kills) == len(POINTS)


async def test_workers_killed_at_random_instants_lose_nothing(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    kills = report.many(SHORT[database_kind], SHARE[database_kind])
    random = report.random(1, database_kind)
    names = ["worker-1", "worker-2", "worker-3"]
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=len(names)) as running:
        running.vendor.script(delay=0.3)
        clients = Clients(running)
        clients.start()
        for _ in range(kills):
            await asyncio.sleep(random.uniform(0.1, 1.5))
            # One at least is left to take over.
            await until(lambda: sum(map(running.works, names)) >= 2, "too few workers")
            name = random.choice([name for name in names if running.works(name)])
            await running.kill(name)
            running.start_worker(name)
        await clients.stop()
        verdict = await check(running, clients)
        report.add(1, database_kind, verdict)
    assert_safe(verdict)


@pytest.mark.databases("postgresql")
async def test_a_vendor_that_honours_our_key_never_sends_twice(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    kills = report.many(2, 0.04)
    random = report.random(1, "idempotent")
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=2) as running:
        running.vendor.script(delay=0.2, idempotent=True)
        clients = Clients(running)
        clients.start()
        for number in range(kills):
            await asyncio.sleep(random.uniform(0.1, 1.5))
            name = f"worker-{1 + number % 2}"
            await running.kill(name)
            await running.restart(name)
        await clients.stop()
        verdict = await check(running, clients)
        repeated = sum(line["again"] for line in running.vendor.heard)
        report.add(1, database_kind, verdict, idempotent=True, repeated_calls=repeated)
    assert_safe(verdict)
    assert verdict.duplicates == 0
