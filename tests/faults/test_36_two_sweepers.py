"""Fault 36: several sweepers at once, elected or not, with clocks that disagree."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from sqlalchemy import func, select

from portal.db import Database
from portal.delivery.sweep import Sweeper
from portal.errors import PortalError
from portal.kv import connect
from portal.ledger.counts import balance, recount
from portal.ledger.models import Chunk, Notification, NotificationContent
from portal.queues import Bell
from tests.faults.harness import Clients, Report, assert_safe, check, site, until
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

        async def packed() -> int:
            async with running.db.read() as conn:
                return (await conn.execute(select(func.count()).where(Chunk.members.is_not(None)))).scalar_one()

        races = 0

        async def all_unpacked() -> bool:
            nonlocal races
            beats = [work() for each in sweepers for work in (each.fast, each.slow)]
            for result in await asyncio.gather(*beats, return_exceptions=True):
                # Losing a race is allowed, the next beat goes on; half a step is not.
                races += result is not None
                assert result is None or isinstance(result, PortalError), result
            return await packed() == 0

        # Packed members are unpacked once they have waited for a second.
        await until(all_unpacked, "members stay packed", 30)
        async with running.db.read() as conn:
            books, counted = await balance(conn), await recount(conn)
            notes = (await conn.execute(select(func.count()).select_from(Notification))).scalar_one()
            contents = (await conn.execute(select(func.count()).select_from(NotificationContent))).scalar_one()
        for db in databases:
            await db.close()
        report.add(
            36, database_kind, sweepers=3, doubles=notes - COUNT, races=races, balance_difference=books.difference
        )
    assert (notes, contents) == (COUNT, COUNT)
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
