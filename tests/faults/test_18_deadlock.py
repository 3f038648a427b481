"""Fault 18: two transactions lock the same rows in opposite order."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import Database, bulk, new_id
from portal.ledger.models import Election
from tests.faults.harness import Report

pytestmark = [pytest.mark.alone]

ROUNDS = 5


class Crossing:
    """Two transactions that hold one row each before they ask for the other's."""

    def __init__(self) -> None:
        self.tries = 0
        self._here = 0
        self._both = asyncio.Event()

    async def cross(self, conn: AsyncConnection, mine: str, other: str, set_based: bool) -> None:
        """Write both rows; the first time wait until the other transaction has its own."""
        self.tries += 1
        await self._write(conn, [mine], set_based)
        self._here += 1
        if self._here >= 2:
            self._both.set()
        await self._both.wait()
        await self._write(conn, [other], set_based)

    async def _write(self, conn: AsyncConnection, kinds: list[str], set_based: bool) -> None:
        # The set-based port speaks to asyncpg itself from two rows on: its errors are not SQLAlchemy's.
        kinds = [*kinds, *(f"{kind}-twin" for kind in kinds)] if set_based else kinds
        async_owner = str(new_id())
        await bulk.update(conn, Election, ["kind"], [{"kind": kind, "owner": async_owner} for kind in kinds])


@pytest.mark.databases("postgresql", "mariadb")
@pytest.mark.parametrize("set_based", [False, True], ids=["one row", "set-based"])
async def test_a_deadlock_is_resolved_by_a_bounded_repetition_without_half_a_batch(
    db: Database, database_kind: str, set_based: bool, report: Report
) -> None:
    from datetime import UTC, datetime

    async with db.write() as conn:
        for kind in ("a", "b", "a-twin", "b-twin"):
            await conn.execute(insert(Election).values(kind=kind, owner="nobody", until=datetime.now(UTC)))
    tries = 0
    for _ in range(ROUNDS):
        crossing = Crossing()
        await asyncio.gather(
            db.transact(crossing.cross, "a", "b", set_based), db.transact(crossing.cross, "b", "a", set_based)
        )
        tries += crossing.tries
        assert 3 <= crossing.tries <= 12, "one was the victim and repeated"
    async with db.read() as conn:
        owners = {row.kind: row.owner for row in await conn.execute(select(Election.kind, Election.owner))}
    assert "nobody" not in (owners["a"], owners["b"])
    report.add(18, database_kind, rounds=ROUNDS, repeated=tries - 2 * ROUNDS, partial=0, set_based=set_based)


@pytest.mark.databases("postgresql")
async def test_a_serialization_failure_is_repeated(db: Database, database_kind: str, report: Report) -> None:
    from datetime import UTC, datetime

    async with db.write() as conn:
        await conn.execute(insert(Election).values(kind="n", owner="0", until=datetime.now(UTC)))
    tries = 0

    async def count(conn: AsyncConnection) -> None:
        nonlocal tries
        tries += 1
        await conn.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        before = (await conn.execute(select(Election.owner).where(Election.kind == "n"))).scalar_one()
        await asyncio.sleep(0)
        await bulk.update(conn, Election, ["kind"], [{"kind": "n", "owner": str(int(before) + 1)}])

    await asyncio.gather(*(db.transact(count) for _ in range(3)))
    async with db.read() as conn:
        assert (await conn.execute(select(Election.owner).where(Election.kind == "n"))).scalar_one() == "3"
    report.add(18, database_kind, serializable=True, repeated=tries - 3)
