"""Fault 36: several sweepers at once, elected or not, with clocks that disagree."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from sqlalchemy import func, select

from portal.db import Database
from portal.delivery.sweep import Sweeper
from portal.kv import connect
from portal.ledger.counts import balance, recount
from portal.ledger.models import Chunk, Notification, NotificationContent
from portal.queues import Bell
from tests.faults.harness import Clients, Report, assert_safe, check, site
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]
COUNT = 120


async def test_sweepers_that_meet_do_no_harm(
    empty_database_url: str, database_kind: str, tmp_path: Path, report: Report
) -> None:
    async with site(tmp_path / "site", empty_database_url, workers=0) as running:
        clients = Clients(running)
        await clients.send(COUNT)
        databases = [Database(empty_database_url, pool=2) for _ in range(3)]
        sweepers = [
            Sweeper(db, Bell(connect(None)), owner=f"sweeper-{n}", idempotency_hours=24, unknown_hours=72)
            for n, db in enumerate(databases)
        ]
        await asyncio.sleep(1.2)  # packed members are unpacked once they have waited for a second
        for _ in range(3):
            results = await asyncio.gather(
                *(work() for each in sweepers for work in (each.fast, each.slow)), return_exceptions=True
            )
            # Losing a race is allowed (the next beat goes on); half a step is not.
            assert all(error is None or type(error).__name__ in ("Conflict", "Unavailable") for error in results), (
                results
            )
        async with running.db.read() as conn:
            books, counted = await balance(conn), await recount(conn)
            notes = (await conn.execute(select(func.count()).select_from(Notification))).scalar_one()
            contents = (await conn.execute(select(func.count()).select_from(NotificationContent))).scalar_one()
            packed = (await conn.execute(select(func.count()).where(Chunk.members.is_not(None)))).scalar_one()
        for db in databases:
            await db.close()
        report.add(36, database_kind, sweepers=3, doubles=notes - COUNT, balance_difference=books.difference)
    assert (notes, contents, packed) == (COUNT, COUNT, 0)
    assert counted == {"accepted": COUNT}
    assert (books.accepted, books.in_flight, books.difference) == (COUNT, COUNT, 0)


@pytest.mark.databases("postgresql")
async def test_workers_whose_clocks_are_90_seconds_apart_double_nothing(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
    if shutil.which("faketime") is None or library is None:
        pytest.skip("no libfaketime; install Debian's package faketime")
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=1) as running:
        skew = {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        running.start_worker("ahead", **skew, FAKETIME="+90s")
        running.start_worker("behind", **skew, FAKETIME="-90s")
        await running.working("ahead")
        await running.working("behind")
        clients = Clients(running)
        await clients.send(COUNT)
        verdict = await check(running, clients)
        report.add(36, database_kind, verdict, skew_s=90)
    assert_safe(verdict)
    assert verdict.duplicates == 0
