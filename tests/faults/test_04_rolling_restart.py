"""Fault 4: SIGTERM to each process in turn, under load: nobody behind a retrying client notices."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from portal.ledger.models import Attempt, Chunk, Delivery
from tests.faults.harness import Clients, Report, assert_safe, check, quantile, site
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.mark.databases("postgresql")
async def test_a_rolling_restart_costs_no_request_no_try_and_no_doubt(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    drains = []
    async with site(tmp_path / "site", empty_database_url, valkey.url, web=2, workers=2) as running:
        running.vendor.script(delay=0.2)
        clients = Clients(running)
        clients.start()
        for name in ("worker-1", "web-1", "worker-2", "web-2"):
            started = time.monotonic()
            running.terminate(name)
            assert await running.ended(name) == 0
            drains.append(time.monotonic() - started)
            if name.startswith("web"):
                running.start_web(name)
                await running.answering(name)
            else:
                await running.restart(name)
        await clients.stop()
        verdict = await check(running, clients)
        async with running.db.read() as conn:
            doubts = select(func.count()).where((Attempt.result == "ambiguous") | Attempt.closed_at.is_(None))
            ambiguous = (await conn.execute(doubts)).scalar_one()
            tries = (await conn.execute(select(func.max(Delivery.attempts)))).scalar_one()
            crashes = (await conn.execute(select(func.max(Chunk.crashes)))).scalar_one()
        report.add(
            4,
            database_kind,
            verdict,
            drain_p99_s=quantile(drains, 0.99),
            ambiguous=ambiguous,
            statuses=clients.statuses,
        )
    assert_safe(verdict)
    assert (ambiguous, tries, crashes, verdict.duplicates) == (0, 1, 0, 0)
    # A request that was under way when its server ended is tried again with its key; none is refused.
    assert set(clients.statuses) == {202}
    assert max(drains) < 10
