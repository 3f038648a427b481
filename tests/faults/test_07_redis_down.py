"""Fault 7: Redis is gone and stays away: accepting and delivering go on by the database, also when a worker dies."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.faults.harness import Clients, Report, assert_safe, check, site, until
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(3600)]


async def test_without_redis_everything_goes_on(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    kills = report.many(1, 0.01)
    async with site(tmp_path / "site", empty_database_url, valkey.url) as running:
        running.vendor.script(delay=0.05)
        clients = Clients(running)
        clients.start()
        await until(lambda: len(clients.accepted) > 10, "nothing is accepted")
        await asyncio.to_thread(valkey.kill)
        started, accepted = time.monotonic(), len(clients.accepted)
        for number in range(kills):
            await running.more(lambda: len(clients.accepted), 20, "nothing is accepted")
            name = f"worker-{1 + number % 2}"
            await running.kill(name)
            await running.restart(name)
        status, ready = await running.readiness()
        await clients.stop()
        rate = (len(clients.accepted) - accepted) / (time.monotonic() - started)
        verdict = await check(running, clients)
        report.add(
            7, database_kind, verdict, accept_rate_degraded_per_s=round(rate, 1), accept_errors=clients.broken,
            statuses=clients.statuses,
        )  # fmt: skip
    assert_safe(verdict)
    assert set(clients.statuses) == {202}, "the accept error rate without Redis is 0"
    assert clients.broken == 0
    assert status == 200
    assert "go on by the database" in ready["degraded"]["redis"]
