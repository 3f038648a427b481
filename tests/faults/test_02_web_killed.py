"""Fault 2: a web process is killed while it accepts, at named points and at random instants."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.faults.harness import Clients, Report, assert_safe, check, site
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(3600)]

POINTS = ("before_commit", "after_commit", "before_ring")
SHORT = {"postgresql": 3, "mariadb": 2, "sqlite": 2}


@pytest.mark.databases("postgresql")
async def test_a_server_that_dies_at_a_named_point_keeps_every_promise(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    async with site(tmp_path / "site", empty_database_url, valkey.url, web=1, workers=1) as running:
        clients = Clients(running)
        clients.start()
        for number, point in enumerate(POINTS):
            name = f"doomed-{number}"
            running.start_web(name, failpoints=f"{point}=kill@3")
            await running.answering(name)
            before = running.children(name)
            # The server replaces the process that its failpoint ended: kill -9 of one is no outage of the port.
            await running.replaced(name, before)
            await running.kill(name)
            del running.ports[name]
        await clients.stop()
        verdict = await check(running, clients)
        report.add(2, database_kind, verdict, points=list(POINTS), broken_requests=clients.broken)
    assert_safe(verdict)
    assert set(clients.statuses) <= {202, 409, 503}


async def test_servers_killed_at_random_instants_keep_every_promise(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    kills = report.many(SHORT[database_kind], 0.04)
    random = report.random(2, database_kind)
    async with site(tmp_path / "site", empty_database_url, valkey.url, web=2, workers=1) as running:
        clients = Clients(running, count=6, gap=0.1)
        clients.start()
        for number in range(kills):
            await asyncio.sleep(random.uniform(0.1, 1.0))
            name = f"web-{1 + number % 2}"
            if number % 3 == 2:
                # Only the serving process: the server starts another on the same port.
                before = running.children(name)
                os.kill(before[0], signal.SIGKILL)
                await running.note_end(name, before[0])
                await running.replaced(name, before)
            else:
                await running.kill(name)
                running.start_web(name)
            await running.answering(name)
        await clients.stop()
        verdict = await check(running, clients)
        report.add(2, database_kind, verdict, broken_requests=clients.broken, statuses=clients.statuses)
    assert_safe(verdict)
    assert verdict.duplicates == 0
