"""Fault 8: Redis is out of memory and refuses writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.harness import Clients, Report, assert_safe, check, site, until
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.mark.databases("postgresql")
async def test_a_full_redis_is_noticed_said_and_worked_around(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=1) as running:
        clients = Clients(running)
        clients.start()
        await until(lambda: len(clients.accepted) > 10, "nothing is accepted")

        async def says_memory() -> bool:
            _, body = await running.readiness()
            return "out of memory" in body["degraded"].get("redis", "")

        with valkey.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1")
            detected = await until(says_memory, "the full memory is not noticed", 10)
            heard = len(running.vendor.heard)
            await until(lambda: len(running.vendor.heard) > heard + 20, "delivery has stopped", 20)
            client.config_set("maxmemory", "0")

        async def is_well() -> bool:
            _, body = await running.readiness()
            return "redis" not in body["degraded"]

        recovered = await until(is_well, "Redis is not used again", 10)
        await clients.stop()
        verdict = await check(running, clients)
        report.add(8, database_kind, verdict, detection_s=round(detected, 3), back_s=round(recovered, 3))
    assert_safe(verdict)
    assert verdict.duplicates == 0
    assert set(clients.statuses) == {202}
    assert detected < 3
