"""Chunk, lease, fence and sweep against an oracle in memory: random histories of three workers (SQLite)."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import insert, select, update

from portal.db import Base, Database, bulk, db_now, new_id
from portal.delivery.claim import CRASHES_TO_HALVE, CRASHES_TO_QUARANTINE, Lease, LeaseLost, Offered, claim
from portal.delivery.sweep import expired_leases
from portal.ledger.counts import balance
from portal.ledger.models import Chunk, Notification
from portal.ledger.packing import waiting_status
from portal.ledger.statuses import LIVE

LONG = 3600.0
WORKERS = ("ada", "bob", "eve")


@dataclass
class Known:
    """What the oracle knows of a chunk."""

    members: set[UUID]
    status: str = "ready"
    fence: int = 0
    crashes: int = 0
    over: bool = False
    ended: set[UUID] = field(default_factory=set)


class Chunks(RuleBasedStateMachine):
    """The database on one side, `self.known` on the other."""

    leases = Bundle("leases")

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.db = Database(f"sqlite:///{Path(self.folder.name) / 'chunks.db'}", pool=2)
        self.known: dict[UUID, Known] = {}
        self.quarantined: set[UUID] = set()
        self.application = new_id()
        self.runner.run(self._create())

    async def _create(self) -> None:
        async with self.db.write() as conn:
            await conn.run_sync(Base.metadata.create_all)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.db.close())
            self.runner.close()
            self.folder.cleanup()

    # -- what happens ----------------------------------------------------------------------------------------------------

    @rule(size=st.integers(1, 5))
    def accept(self, size: int) -> None:
        chunk_id, members = new_id(), {new_id() for _ in range(size)}
        self.runner.run(self._accept(chunk_id, members))
        self.known[chunk_id] = Known(members)

    @rule(target=leases, data=st.data(), worker=st.sampled_from(WORKERS))
    def claims(self, data: st.DataObject, worker: str) -> Lease | None:
        if not self.known:
            return None
        chunk_id = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[chunk_id]
        got = self.runner.run(claim(self.db, chunk_id, owner=worker, seconds=LONG))
        free = known.status == "ready" or (known.status == "leased" and known.over)
        assert (got is not None) == free
        if not free:
            return None
        known.crashes += known.status == "leased"
        known.fence += 1
        live = known.members - known.ended
        contained = known.crashes >= CRASHES_TO_HALVE and (
            len(known.members) > 1 or known.crashes >= CRASHES_TO_QUARANTINE
        )
        if contained:
            assert isinstance(got, Offered)
            self._contained(known, live, got.chunks)
            return None
        assert isinstance(got, Lease)
        assert (got.chunk.fence, got.chunk.crashes, got.chunk.lease_owner) == (known.fence, known.crashes, worker)
        known.status, known.over = "leased", False
        return got

    def _contained(self, known: Known, live: set[UUID], halves: list[UUID]) -> None:
        """A chunk that ended its workers is done; its members are halved, or the last one is set aside."""
        known.status = "done"
        if len(live) == 1 and known.crashes >= CRASHES_TO_QUARANTINE:
            assert halves == []
            self.quarantined |= live
            known.ended |= live
            return
        assert len(halves) == min(2, len(live))
        ordered = sorted(live)
        middle = (len(ordered) + 1) // 2
        for half, members in zip(halves, (ordered[:middle], ordered[middle:]), strict=False):
            self.known[half] = Known(set(members), crashes=1)
        known.members = known.members - live

    @rule(lease=leases)
    def renews(self, lease: Lease | None) -> None:
        self._guarded(lease, self._guard, "leased")

    @rule(lease=leases)
    def finishes(self, lease: Lease | None) -> None:
        if self._guarded(lease, self._settle, "done"):
            assert lease is not None
            known = self.known[lease.chunk.id]
            known.ended |= known.members

    @rule(lease=leases)
    def hands_back(self, lease: Lease | None) -> None:
        if lease is None:
            return
        known = self.known[lease.chunk.id]
        mine = self._mine(lease)
        self.runner.run(lease.hand_back())
        if mine:
            known.status, known.over = "ready", False

    @rule(data=st.data())
    def time_runs_out(self, data: st.DataObject) -> None:
        """The worker of a leased chunk is silent for longer than its lease."""
        leased = sorted(id_ for id_, known in self.known.items() if known.status == "leased")
        if leased:
            chunk_id = data.draw(st.sampled_from(leased))
            self.runner.run(self._expire(chunk_id))
            self.known[chunk_id].over = True

    # -- what must hold --------------------------------------------------------------------------------------------------

    @invariant()
    def the_database_says_the_same(self) -> None:
        if not hasattr(self, "db"):
            return
        rows, live, books = self.runner.run(self._picture())
        assert {row.id: (row.status, row.fence, row.crashes) for row in rows} == {
            id_: (known.status, known.fence, known.crashes) for id_, known in self.known.items()
        }
        expected = {
            member for known in self.known.values() if known.status != "done" for member in known.members - known.ended
        }
        assert live == expected, "a notification is lost, or lives although it ended"
        assert books.difference == 0
        assert books.terminal["failed"] == len(self.quarantined)

    @invariant()
    def the_sweep_finds_what_is_abandoned(self) -> None:
        if hasattr(self, "db"):
            found = {hint.chunk_id for hint in self.runner.run(self._swept())}
            assert found == {id_ for id_, known in self.known.items() if known.status == "leased" and known.over}

    # -- how -------------------------------------------------------------------------------------------------------------

    def _mine(self, lease: Lease) -> bool:
        """By the oracle: the fence is the lease's own. Time alone takes no right away, another's claim does."""
        known = self.known[lease.chunk.id]
        return known.status == "leased" and known.fence == lease.chunk.fence

    def _guarded(self, lease: Lease | None, act: Any, status: str) -> bool:
        """Act under the fence; a worker that was too late must be refused."""
        if lease is None:
            return False
        mine = self._mine(lease)
        try:
            self.runner.run(self.db.transact(act, lease))
        except LeaseLost:
            assert not mine
            return False
        assert mine, "a late worker was let through"
        known = self.known[lease.chunk.id]
        known.status, known.over = status, False
        return True

    async def _guard(self, conn: Any, lease: Lease) -> None:
        await lease.guard(conn)

    async def _settle(self, conn: Any, lease: Lease) -> None:
        """As `settle` does it: the fence first, then the ends with their counts."""
        from portal.ledger.counts import count_terminal

        await lease.finish(conn)
        mine = (Notification.chunk_id == lease.chunk.id, Notification.status.in_(LIVE))
        ended = await conn.execute(update(Notification).where(*mine).values(status="sent", settled_at=db_now()))
        await count_terminal(conn, lease.chunk.lane, {"sent": ended.rowcount})

    async def _accept(self, chunk_id: UUID, members: set[UUID]) -> None:
        from datetime import UTC, datetime

        now = datetime.now(UTC)
        row = {"id": chunk_id, "kind": "plan", "lane": "medium", "application_id": self.application}
        facts = {
            "application_id": self.application, "chunk_id": chunk_id, "template_version_id": self.application,
            "template_key": "t", "category": "c", "lane": "medium", "status": waiting_status(now, now), "due_at": now,
            "created_at": now,
        }  # fmt: skip
        async with self.db.write() as conn:
            await conn.execute(insert(Chunk).values(**row, size=len(members), accepted=len(members)))
            await bulk.insert(conn, Notification, [{"id": member, **facts} for member in members])

    async def _expire(self, chunk_id: UUID) -> None:
        async with self.db.write() as conn:
            await conn.execute(update(Chunk).where(Chunk.id == chunk_id).values(lease_until=db_now(-1)))

    async def _picture(self) -> Any:
        async with self.db.read() as conn:
            rows = (await conn.execute(select(Chunk.id, Chunk.status, Chunk.fence, Chunk.crashes))).all()
            live = set((await conn.execute(select(Notification.id).where(Notification.status.in_(LIVE)))).scalars())
            return rows, live, await balance(conn)

    async def _swept(self) -> Any:
        async with self.db.read() as conn:
            return await expired_leases(conn)


TestChunks = Chunks.TestCase
TestChunks.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
