"""What the tests of delivery share: doors, workers and the figures that must agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from portal import app as application
from portal.db import Database
from portal.delivery.deliver import Deliverer
from portal.delivery.sweep import Sweeper
from portal.ledger.counts import Balance, balance, recount
from portal.ledger.models import Attempt, Delivery, LedgerCount, SandboxMessage
from portal.parts import Parts, open_parts
from portal.queues import run_lanes
from portal.settings import Settings
from portal.worker import make_deliverer
from tests.portal_peer import Client, PortalPeer, _live, one, open_portal


class Worker:
    """A worker process without Redis: it lives on polling the database."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.deliverer: Deliverer = make_deliverer(parts)
        self.sweeper = Sweeper(parts.db, parts.bell, owner=self.deliverer.owner, idempotency_hours=24, unknown_hours=72)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, *, slots: int = 10) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._run(slots))

    async def _run(self, slots: int) -> None:
        await run_lanes(
            self.parts.kv,
            self.deliverer.handle,
            self.deliverer.due,
            stop=self._stop,
            slots=slots,
            reserve=2,
            drain_seconds=5,
        )
        await self.deliverer.drain(5)

    async def stop(self) -> None:
        """Drain."""
        self._stop.set()
        if self._task is not None:
            await self._task


class World:
    """`doors` are two web processes, `workers` two workers."""

    def __init__(self, doors: Sequence[PortalPeer], workers: Sequence[Worker]) -> None:
        self.doors, self.workers = doors, workers

    @property
    def db(self) -> Database:
        """The first door's database."""
        return self.doors[0].db

    async def clients(self, name: str = "shop", **more: Any) -> list[Client]:
        """One client per door, with the same key."""
        first = await self.doors[0].key(name, **more)
        for door in self.doors:
            await door.parts.revisions.poll()
        return [first, *(Client(door, first.token, first.actor) for door in self.doors[1:])]

    async def refresh(self) -> None:
        """Let every process read what has changed."""
        for parts in (*(door.parts for door in self.doors), *(worker.parts for worker in self.workers)):
            await parts.revisions.poll()

    async def work_off(self, seconds: float = 40) -> None:
        """Let the workers work until nothing is in flight."""
        for worker in self.workers:
            worker.start()
        async with asyncio.timeout(seconds):
            while (await self.balance()).in_flight:
                await asyncio.sleep(0.05)  # the database offers nothing to wait on
        for worker in self.workers:
            await worker.stop()

    async def step(self, worker: int = 0) -> None:
        """Let one worker handle what is due now, once."""
        deliverer = self.workers[worker].deliverer
        for lane, chunk_id in await deliverer.due():
            await deliverer.handle(lane, chunk_id)
        if deliverer._running:
            await asyncio.wait(deliverer._running)

    async def balance(self) -> Balance:
        """The balance of this moment."""
        async with self.db.read() as conn:
            return await balance(conn)

    async def counted(self) -> dict[str, int]:
        """Every notification row by status."""
        async with self.db.read() as conn:
            return await recount(conn)

    async def number(self, model: Any, *where: Any) -> int:
        """How many rows."""
        async with self.db.read() as conn:
            return int((await conn.execute(select(func.count()).select_from(model).where(*where))).scalar_one())

    async def sent_twice(self) -> list[UUID]:
        """Deliveries that the sandbox kept more than once."""
        again = select(SandboxMessage.delivery_id).group_by(SandboxMessage.delivery_id).having(func.count() > 1)
        async with self.db.read() as conn:
            return list((await conn.execute(again)).scalars())

    async def inversions(self) -> int:
        """Claims of lower work while due high work waited for more than 50 ms, by the database's clock."""
        statement = select(func.coalesce(func.sum(LedgerCount.n), 0)).where(LedgerCount.event == "inversion")
        async with self.db.read() as conn:
            return int((await conn.execute(statement)).scalar_one())

    async def assert_settled(self, accepted: int) -> None:
        """What must hold when nothing is in flight."""
        books = await self.balance()
        assert (books.accepted, books.in_flight, books.difference) == (accepted, 0, 0)
        assert sum((await self.counted()).values()) == accepted
        assert await self.number(Attempt, Attempt.closed_at.is_(None)) == 0
        assert await self.number(Delivery, Delivery.chunk_id.is_not(None)) == 0


@asynccontextmanager
async def open_world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Open the parts of four processes."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_portal(settings, monkeypatch))
        second = await stack.enter_async_context(_second_door(settings))
        workers = [Worker(await stack.enter_async_context(open_parts(settings))) for _ in range(2)]
        yield World([first, second], workers)


@asynccontextmanager
async def _second_door(settings: Settings) -> AsyncIterator[PortalPeer]:
    framework = application.create_framework(settings)
    ready, stop = asyncio.Event(), asyncio.Event()
    life = asyncio.create_task(_live(framework, ready, stop))
    await asyncio.wait({life, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if life.done():
            await life
        yield PortalPeer(framework, settings)
    finally:
        stop.set()
        await life


__all__ = ["Worker", "World", "one", "open_world"]
