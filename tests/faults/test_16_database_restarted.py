"""Fault 16: the database ends without a word and comes back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.conftest import have
from tests.faults.harness import Clients, Report, assert_safe, check, crowding, site, until
from tests.faults.servers import Mariadb, Postgres, Valkey
from tests.services import temporary_folder

pytestmark = [pytest.mark.alone, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
async def test_a_database_that_ends_and_returns_loses_nothing_it_acknowledged(
    kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    rounds = report.many(2 if kind == "postgresql" else 1, 0.01)
    server = await asyncio.to_thread(
        have, lambda: (Postgres if kind == "postgresql" else Mariadb)(temporary_folder("db"))
    )
    await asyncio.to_thread(server.start)
    recovery, refused_after = [], []
    try:
        async with site(tmp_path / "site", server.url, valkey.url) as running:
            running.vendor.script(delay=0.1)
            clients = Clients(running)
            clients.start()
            for number in range(rounds):
                await running.more(lambda: len(clients.accepted), 15, "nothing is accepted")
                if kind == "postgresql" and number % 2:
                    await asyncio.to_thread(server.restart_immediately)
                else:
                    await asyncio.to_thread(server.kill)
                    refused_after.append(await _refused(clients))
                    await asyncio.to_thread(server.start)
                started = time.monotonic()
                await running.more(lambda: len(clients.accepted), 1, "accepting does not resume", 30)
                await running.more(lambda: len(running.vendor.heard), 1, "delivery does not resume", 30)
                recovery.append(time.monotonic() - started)
            alive = running.alive()
            await clients.stop()
            verdict = await check(running, clients)
            report.add(
                16, kind, verdict, restarts=rounds, resumed_max_s=round(max(recovery), 3), statuses=clients.statuses,
                refused_within_s=round(max(refused_after), 3), alive=alive,
            )  # fmt: skip
    finally:
        server.end()
    assert_safe(verdict)
    # Every process lived through it and knew what it had sent.
    assert len(alive) == 3
    assert verdict.duplicates == 0
    assert set(clients.statuses) <= {202, 409, 503}
    assert max(refused_after) < 3 * crowding()
    assert max(recovery) < 10 * crowding()


async def _refused(clients: Clients) -> float:
    """Seconds until a request hears 503 from a portal whose database is gone."""
    before = clients.statuses[503]
    return await until(lambda: clients.statuses[503] > before, "no request is refused", 15)
