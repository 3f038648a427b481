"""Fault 9: the disk under Redis' append-only file is full (MISCONF)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import have
from tests.faults.harness import Clients, Report, Site, assert_safe, check, site, until
from tests.faults.servers import Valkey, small_disk

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.mark.databases("postgresql")
async def test_a_full_disk_under_redis_is_noticed_and_worked_around(
    empty_database_url: str, database_kind: str, tmp_path: Path, report: Report
) -> None:
    with have(lambda: small_disk(tmp_path / "disk", megabytes=4)) as disk:
        valkey = have(lambda: Valkey(disk.path / "valkey"))
        valkey.start()
        try:
            async with site(tmp_path / "site", empty_database_url, valkey.url, workers=1) as running:
                clients = Clients(running)
                clients.start()
                await until(lambda: len(clients.accepted) > 10, "nothing is accepted")
                disk.fill()

                async def is_degraded() -> bool:
                    _, body = await running.readiness()
                    return "redis" in body["degraded"]

                detected = await until(is_degraded, "the full disk is not noticed", 20)
                _, body = await running.readiness()
                heard = len(running.vendor.heard)
                await until(lambda: len(running.vendor.heard) > heard + 20, "delivery has stopped", 20)
                disk.free()
                if not valkey.answers():
                    valkey.start()
                recovered = await until(lambda: _is_well(running), "Redis is not used again", 20)
                await clients.stop()
                verdict = await check(running, clients)
                report.add(9, database_kind, verdict, detection_s=round(detected, 3), back_s=round(recovered, 3))
        finally:
            valkey.end()
    assert_safe(verdict)
    assert verdict.duplicates == 0
    assert set(clients.statuses) == {202}
    assert "go on by the database" in body["degraded"]["redis"]


async def _is_well(running: Site) -> bool:
    _, body = await running.readiness()
    return "redis" not in body["degraded"]
