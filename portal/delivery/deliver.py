"""What a worker does with a hint: claim, plan, send; and give its slot back while only vendors are waited for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, select

from portal.db import Database, db_now
from portal.delivery.claim import CRASHES_TO_HALVE, Lease, LeaseLost, Offered, claim
from portal.delivery.inversions import note_inversion
from portal.delivery.plan import Planner
from portal.delivery.send import Run, Sender
from portal.errors import Unavailable
from portal.ledger.models import Chunk
from portal.ledger.statuses import LANES
from portal.queues import Hint
from portal.runtime import failpoints

# After this long a chunk that waits for vendors gives its slot back and goes on in the background.
PATIENCE = {"high": 0.1, "medium": 0.5, "low": 0.5}
DUE_AT_ONCE = 100
LOWER_PLANS = 2
HAND_BACK_PAUSE = 0.2
# Redis and the database have clocks of their own.
LEASE_MARGIN = timedelta(milliseconds=100)
# A suspect that must not be worked on beside those in hand is looked at again so much later.
SUSPECT_PAUSE = timedelta(milliseconds=250)

log = logging.getLogger(__name__)


class Deliverer:
    """Handles the hints of one worker process."""

    def __init__(self, db: Database, planner: Planner, sender: Sender, *, lease_seconds: float) -> None:
        self.owner = f"{socket.gethostname()[:40]}:{os.getpid()}"
        self._db = db
        self._planner = planner
        self._sender = sender
        self._lease_seconds = lease_seconds
        self._running: set[asyncio.Task[None]] = set()
        # More plans at once would not be sooner on one core, but would hold the connections that high needs.
        self._lower_plans = asyncio.Semaphore(LOWER_PLANS)
        self._turns = Turns(db)
        # Chunks in hand whose worker ended once, and whether one is in hand that has its last chance.
        self._suspects = 0
        self._last_chance = False

    async def handle(self, lane: str, chunk_id: UUID) -> None:
        """Work on the hinted chunk, or on the one whose application's turn it is; returns when the slot is free again.

        The outcome is in the database: nothing is raised for a chunk that somebody else has or that fails.
        """
        if self._sender.stops.lane(lane):
            return
        picked = await self._turns.pick(lane, chunk_id, self._sender.stops.applications)
        lease = await self._claim(picked)
        if lease is None and picked != chunk_id:
            # Somebody else had the same thought: the hint is still good for the chunk that it names.
            lease = await self._claim(chunk_id)
        if not isinstance(lease, Lease):
            await self._ring_again(chunk_id, lease)
            return
        failpoints.hit("after_claim")
        task = asyncio.create_task(self._work(lease), name=f"chunk-{lease.chunk.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # After the start: whatever goes wrong here must not leave a leased chunk that nobody works on.
        if lane != "high" and not self._sender.stops.lane("high"):
            await self._note_inversion(lane)
        await asyncio.wait({task}, timeout=PATIENCE[lane])
        if not task.done():
            await lease.only_vendors.wait()

    async def _note_inversion(self, lane: str) -> None:
        async with self._db.single() as conn:
            inverted = await note_inversion(conn, lane, self._sender.stops.applications)
        if inverted:
            log.warning("a chunk of lane %s was claimed while higher work was due", lane)

    async def due(self) -> list[tuple[str, UUID]]:
        """Chunks that may be claimed, high first: how a worker goes on without Redis."""
        found: list[tuple[str, UUID]] = []
        async with self._db.read() as conn:
            for lane in LANES:
                if self._sender.stops.lane(lane):
                    continue
                for statement in (_abandoned(lane), _ready(lane)):
                    rows = await conn.execute(statement.limit(DUE_AT_ONCE - len(found)))
                    found += [(lane, id_) for id_ in rows.scalars()]
                    if len(found) >= DUE_AT_ONCE:
                        return found
        return found

    async def _claim(self, chunk_id: UUID) -> Lease | Offered | None:
        """Claim a chunk; one that may end this process only in company that does not suffer by it.

        A notification that would be set aside if its worker ended once more is worked on while no other suspect is
        in hand: otherwise the guilty one would take its innocent neighbours with it.
        """
        lease = await self._take(chunk_id, suspects=False)
        if lease is not None or self._last_chance:
            return lease
        alone = not self._suspects
        self._last_chance = alone
        self._suspects += 1
        try:
            lease = await self._take(chunk_id, suspects=True, last_chances=alone)
        finally:
            if not (isinstance(lease, Lease) and lease.chunk.crashes >= CRASHES_TO_HALVE):
                self._last_chance = self._last_chance and not alone
            if not isinstance(lease, Lease) or not lease.chunk.crashes:
                self._suspects -= 1
        return lease

    def _forget(self, lease: Lease) -> None:
        """The chunk is no longer in hand."""
        if lease.chunk.crashes:
            self._suspects -= 1
        if lease.chunk.crashes >= CRASHES_TO_HALVE:
            self._last_chance = False

    async def _take(self, chunk_id: UUID, *, suspects: bool, last_chances: bool = True) -> Lease | Offered | None:
        return await claim(
            self._db,
            chunk_id,
            owner=self.owner,
            seconds=self._lease_seconds,
            stopped_applications=self._sender.stops.applications,
            suspects=suspects,
            last_chances=last_chances,
        )

    async def _ring_again(self, chunk_id: UUID, offered: Offered | None) -> None:
        """A hint that could not be followed: ring what is offered instead, or the chunk again when its lease ends."""
        if offered is not None:
            await self._sender.bell.ring_many([Hint(offered.lane, half) for half in offered.chunks])
            return
        columns = select(Chunk.lane, Chunk.status, Chunk.lease_until, Chunk.crashes).where(Chunk.id == chunk_id)
        async with self._db.read() as conn:
            row = (await conn.execute(columns)).first()
        if row is None or row.status == "done":
            return
        soon = datetime.now(UTC) + SUSPECT_PAUSE
        if row.status == "leased":
            await self._sender.bell.ring(row.lane, chunk_id, at=max(soon, row.lease_until + LEASE_MARGIN))
        elif row.crashes:
            await self._sender.bell.ring(row.lane, chunk_id, at=soon)

    def begin_drain(self) -> None:
        """Start no further sends: chunks in hand settle what was sent and hand the rest back."""
        self._sender.draining = True

    async def refresh_turns(self) -> None:
        """Learn which applications have due work; meant to be called about twice a second."""
        await self._turns.refresh()

    async def drain(self, seconds: float) -> None:
        """Let what was sent be settled and hand the rest back; give up after `seconds`."""
        self.begin_drain()
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    @property
    def running(self) -> int:
        """Chunks in hand, those that only wait for vendors included."""
        return len(self._running)

    async def _work(self, lease: Lease) -> None:
        try:
            async with lease.renewing():
                await self._work_leased(lease)
        except LeaseLost:
            log.warning("chunk %s: stopped: the lease is lost", lease.chunk.id)
        except Unavailable:
            log.warning("chunk %s: stopped: the database does not answer", lease.chunk.id)
            await self._hand_back(lease)
        except asyncio.CancelledError:
            # The time to drain is up. What vendors still hold is in doubt, but nothing crashed.
            await self._hand_back(lease)
            raise
        except Exception:
            # The lease runs out and counts as a crash: a chunk that fails again and again is narrowed down.
            log.exception("chunk %s failed", lease.chunk.id)
        finally:
            self._forget(lease)
            lease.only_vendors.set()

    async def _hand_back(self, lease: Lease) -> None:
        """Hand the chunk back as soon as the database takes it, so that it does not count as a crash."""
        while True:
            try:
                await lease.hand_back()
            except Unavailable:
                await asyncio.sleep(HAND_BACK_PAUSE)
            else:
                await self._sender.bell.ring(lease.chunk.lane, lease.chunk.id)
                return

    async def _work_leased(self, lease: Lease) -> None:
        if self._sender.draining:
            await self._hand_back(lease)
            return
        lower = lease.chunk.lane != "high"
        async with self._lower_plans if lower else contextlib.nullcontext(), self._db.read() as conn:
            plan = await self._planner.plan(conn, lease.chunk, stopped_templates=self._sender.stops.templates)
        run = Run(self._sender, lease, plan)
        if plan.doubtful:
            await run.resolve_doubts()
        tasks = await run.start()
        lease.only_vendors.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, LeaseLost):
                raise result


def _ready(lane: str) -> Select[UUID]:
    due = (Chunk.status == "ready", Chunk.lane == lane, Chunk.not_before <= db_now())
    return select(Chunk.id).where(*due).order_by(Chunk.not_before)


def _abandoned(lane: str) -> Select[UUID]:
    """Chunks whose worker ended without a word."""
    over = (Chunk.status == "leased", Chunk.lease_until < db_now(), Chunk.lane == lane)
    return select(Chunk.id).where(*over).order_by(Chunk.lease_until)


class Turns:
    """Rotates over the applications of a lane that have due work, so that none waits behind another's backlog."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: dict[str, deque[UUID]] = {lane: deque() for lane in LANES}

    async def refresh(self) -> None:
        """Read which applications have due work in each lane."""
        statement = (
            select(Chunk.lane, Chunk.application_id)
            .where(Chunk.status == "ready", Chunk.not_before <= db_now())
            .group_by(Chunk.lane, Chunk.application_id)
        )
        async with self._db.read() as conn:
            rows = (await conn.execute(statement)).all()
        for lane, waiting in self._waiting.items():
            now = {row.application_id for row in rows if row.lane == lane}
            kept = [application for application in waiting if application in now]
            self._waiting[lane] = deque(kept + sorted(now - set(kept)))

    async def pick(self, lane: str, hinted: UUID, stopped: list[UUID]) -> UUID:
        """The chunk to claim for a hint: the hinted one while one application has work, else the next one's oldest."""
        waiting = self._waiting[lane]
        if len(waiting) < 2:
            return hinted
        application = waiting[0]
        waiting.rotate(-1)
        if application in stopped:
            return hinted
        statement = (
            select(Chunk.id)
            .where(
                Chunk.status == "ready",
                Chunk.lane == lane,
                Chunk.application_id == application,
                Chunk.not_before <= db_now(),
            )
            .order_by(Chunk.not_before)
            .limit(1)
        )
        async with self._db.read() as conn:
            found = (await conn.execute(statement)).scalar()
        return found or hinted
