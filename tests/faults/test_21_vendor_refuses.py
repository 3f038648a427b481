"""Fault 21: the vendor answers 500, or 429 with every kind of Retry-After."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from portal.ledger.models import Attempt, Chunk, Delivery
from tests.faults.harness import Clients, Report, Site, assert_safe, check, site, until
from tests.faults.servers import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.mark.databases("postgresql")
async def test_failures_are_classed_and_nothing_is_sent_before_the_vendor_wants_it(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    figures: dict[str, Any] = {}
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=1, retry_base_seconds=0.5) as running:
        everyone = []
        date = format_datetime(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4), usegmt=True)
        answers = {
            "error": (500, None, 0.0),
            "seconds": (429, "2", 2.0),
            "date": (503, date, 0.0),
            "negative": (429, "-5", 0.0),
            "garbage": (429, "soon", 0.0),
        }
        for name, (status, retry_after, wait) in answers.items():
            headers = {"Retry-After": retry_after} if retry_after else {}
            running.vendor.script(f"/{name}", status=status, headers=headers, times=1)
            clients = Clients(running, label=name, to={"channel": "webhook", "address": running.vendor.url(f"/{name}")})
            everyone.append(clients)
            await clients.send(1)
            first, second = await _two(running, f"/{name}")
            gap = second["at"] - first["at"]
            assert gap >= wait, f"{name}: sent {gap:.3f} s later, {wait} s were asked for"
            if name == "date":
                asked = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).timestamp()
                assert second["at"] >= asked or asked < first["at"], "sent before the date that was asked for"
            figures[f"{name}_gap_s"] = round(gap, 3)
        results = await _results(running)
        assert results["/error"] == ["transient", "sent"]
        assert results["/seconds"] == ["throttled", "sent"]
        assert results["/garbage"] == ["transient", "sent"]
        verdict = await check(running, *everyone)
        report.add(21, database_kind, verdict, early_sends=0, **figures)
    assert_safe(verdict)
    assert verdict.duplicates == 0


@pytest.mark.databases("postgresql")
async def test_a_huge_retry_after_is_capped_and_holds_for_the_whole_account(
    empty_database_url: str, database_kind: str, valkey: Valkey, tmp_path: Path, report: Report
) -> None:
    async with site(tmp_path / "site", empty_database_url, valkey.url, workers=1) as running:
        running.vendor.script("/huge", status=429, headers={"Retry-After": "99999999"}, times=1)
        clients = Clients(running, label="huge", to={"channel": "webhook", "address": running.vendor.url("/huge")})
        await clients.send(1)
        await until(lambda: len(running.vendor.heard) == 1, "nothing is sent")
        other = Clients(running, label="other")

        async def waits(count: int) -> bool:
            async with running.db.read() as conn:
                due = select(Chunk.not_before).where(Chunk.kind == "send", Chunk.status == "ready")
                times = [moment.timestamp() - time.time() for moment in (await conn.execute(due)).scalars()]
            return len(times) == count and all(3500 < wait <= 3605 for wait in times)

        await until(lambda: waits(1), "the retry does not wait for an hour", 20)
        # The vendor asked for a pause of the account: what comes now waits too, and no attempt is consumed.
        await other.send(1)
        await until(lambda: waits(2), "the account does not rest", 20)
        assert len(running.vendor.heard) == 1
        async with running.db.read() as conn:
            attempts = sorted((await conn.execute(select(Delivery.attempts))).scalars())
        assert attempts == [0, 1]
        report.add(21, database_kind, huge_capped=True)


async def _two(running: Site, path: str) -> list[dict[str, Any]]:
    def both() -> bool:
        return len([line for line in running.vendor.heard if line["path"] == path]) >= 2

    await until(both, f"{path} is not tried again", 30)
    return [line for line in running.vendor.heard if line["path"] == path][:2]


async def _results(running: Site) -> dict[str, list[str]]:
    """The classes of the attempts by the path of the address, oldest first."""

    async def closed() -> bool:
        async with running.db.read() as conn:
            return (await conn.execute(select(Attempt.n).where(Attempt.closed_at.is_(None)))).first() is None

    await until(closed, "attempts stay open", 20)
    found: dict[str, list[str]] = defaultdict(list)
    async with running.db.read() as conn:
        rows = await conn.execute(
            select(Delivery.address, Attempt.result)
            .join(Attempt, Attempt.delivery_id == Delivery.id)
            .order_by(Attempt.opened_at)
        )
        for address, result in rows:
            found["/" + address.rpartition("/")[2]].append(result)
    return json.loads(json.dumps(found))
