"""Fault 6: somebody empties Redis while work waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.harness import Clients, Report, assert_safe, check, quiet, site, until
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.mark.databases("postgresql")
async def test_hints_that_were_wiped_are_rung_again(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=1) as running:
        # A vendor that is slow for long enough that most of the backlog still waits when the hints are gone.
        running.vendor.script(delay=0.3)
        clients = Clients(running, count=16)
        await clients.send(200)
        heard = len(running.vendor.heard)
        await until(lambda: len(running.vendor.heard) > heard, "nothing is sent")
        with valkey.client() as client:
            client.flushall()
        waiting = 200 - len(running.vendor.heard)
        running.vendor.script(delay=0.0)
        took = await quiet(running, 60)
        verdict = await check(running, clients)
        report.add(6, database_kind, verdict, waiting=waiting, rehinted_and_done_s=round(took, 3))
    assert_safe(verdict)
    assert verdict.duplicates == 0
    assert took < 20
