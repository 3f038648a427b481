"""Fault 25: the connection breaks after the vendor has taken the message."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from portal.ledger.models import Delivery
from tests.faults.harness import Clients, Report, check, site, until
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]
COUNT = 6


@pytest.mark.databases("postgresql")
async def test_a_lost_answer_follows_the_categorys_policy(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=1, retry_base_seconds=0.5) as running:
        running.vendor.script("/resend", reset=True, times=COUNT)
        resent = Clients(running, label="resend", to={"channel": "webhook", "address": running.vendor.url("/resend")})
        await resent.send(COUNT)
        verdict = await check(running, resent)
        # Each was taken once without our knowing, and once more: that is what `resend` says.
        assert verdict.lost == []
        assert verdict.duplicates == COUNT
        assert verdict.by_status == {"sent": COUNT}

        await running.call("PUT", "/api/v1/categories/notes", {"name": "Notes", "doubt_policy": "hold"})
        await asyncio.sleep(1)  # every process reads it within 250 ms
        running.vendor.script("/hold", reset=True, times=COUNT)
        held = Clients(running, label="hold", to={"channel": "webhook", "address": running.vendor.url("/hold")})
        await held.send(COUNT)

        async def unknown() -> bool:
            async with running.db.read() as conn:
                found = select(Delivery.status).where(Delivery.address.like("%/hold"))
                return list((await conn.execute(found)).scalars()) == ["unknown"] * COUNT

        await until(unknown, "the doubtful deliveries are not held", 20)
        sends = len([line for line in running.vendor.heard if line["path"] == "/hold"])
        assert sends == COUNT, "held, and sent again all the same"
        report.add(25, database_kind, duplicates_resend=verdict.duplicates, duplicates_hold=sends - COUNT, of=COUNT)
