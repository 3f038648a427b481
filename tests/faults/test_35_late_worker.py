"""Fault 35: a worker is stopped for longer than its lease and wakes up when others have its chunk."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from portal.delivery.send import CALLS_AT_ONCE
from portal.ledger.models import Attempt
from tests.faults.harness import Clients, Report, assert_safe, check, crowding, site, until
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.mark.parametrize("point", ["after_plan", "after_send"])
@pytest.mark.databases("postgresql")
async def test_the_fence_stops_a_worker_that_was_away(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report, point: str
) -> None:
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=1) as running:
        clients = Clients(running, count=2, gap=0.3)
        clients.start()
        running.start_worker("late", failpoints=f"{point}=stop@2")
        late = psutil.Process(running.pid("late"))
        await until(lambda: late.status() == psutil.STATUS_STOPPED, "the worker does not reach its failpoint")
        stopped = await running.note_end("late", late.pid)
        assert stopped.chunks, "it stopped with nothing in hand"
        await until(running.look_for_recovery, "nobody takes over", 20 * crowding())
        heard = {line["key"] for line in running.vendor.heard}
        os.kill(late.pid, signal.SIGCONT)
        log = running.folder / "late.log"
        await until(lambda: "the lease is lost" in log.read_text(), "the late worker does not notice", 20 * crowding())
        await clients.stop()
        verdict = await check(running, clients)
        async with running.db.read() as conn:
            unclosed = (await conn.execute(select(Attempt.n).where(Attempt.closed_at.is_(None)))).all()
        late_sends = verdict.duplicates
        report.add(35, database_kind, verdict, point=point, sends_after_lease_loss=late_sends, known=len(heard))
    assert_safe(verdict)
    assert unclosed == []
    # Stopped before it sent, it asks before it sends; stopped after, only that slice is in doubt.
    assert late_sends <= (0 if point == "after_plan" else CALLS_AT_ONCE)
