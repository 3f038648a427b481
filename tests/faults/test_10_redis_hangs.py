"""Fault 10: Redis stops answering without closing a connection."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.harness import Clients, Report, assert_safe, check, quantile, site, until
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.mark.databases("postgresql")
async def test_a_redis_that_hangs_holds_up_nobody_for_long(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    frozen = 30.0 if report.kills else 4.0
    async with site(tmp_path / "site", empty_database_url, valkey.url) as running:
        clients = Clients(running)
        clients.start()
        await until(lambda: len(clients.accepted) > 10, "nothing is accepted")
        valkey.freeze()
        heard = len(running.vendor.heard)
        await asyncio.sleep(frozen)
        during = len(running.vendor.heard) - heard
        valkey.thaw()
        accepted = len(clients.accepted)
        await until(lambda: len(clients.accepted) > accepted + 10, "nothing is accepted afterwards")
        await clients.stop()
        verdict = await check(running, clients)
        slowest = max(clients.seconds)
        report.add(
            10, database_kind, verdict, frozen_s=frozen, sent_meanwhile=during, accept_max_s=round(slowest, 3),
            accept_p99_s=quantile(clients.seconds, 0.99),
        )  # fmt: skip
    assert_safe(verdict)
    assert verdict.duplicates == 0, "a double claim"
    assert set(clients.statuses) == {202}
    assert during > 0
    # A call of Redis takes 1 s at most; a request makes at most two of them.
    assert slowest < 4
