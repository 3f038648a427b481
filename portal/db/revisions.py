"""Revisions: how a change in one process reaches the caches of all others within a quarter of a second.

Whoever changes keys, templates, routes … raises the revision of that kind in the same transaction. Every process polls
the few rows and reloads what changed. A process that could not poll for a second says so (`fresh`), because it can no
longer know of revocations.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

from sqlalchemy import BigInteger, String, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import bulk
from portal.db.engine import Database
from portal.db.types import Base

POLL_SECONDS = 0.25
FRESH_SECONDS = 1.0

log = logging.getLogger(__name__)


class Revision(Base):
    """How often things of a kind have changed."""

    __tablename__ = "revision"

    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)


async def bump(conn: AsyncConnection, kind: str) -> None:
    """Tell every process that things of this kind changed; takes effect with the caller's commit."""
    changed = await conn.execute(update(Revision).where(Revision.kind == kind).values(number=Revision.number + 1))
    if not changed.rowcount:
        await bulk.insert_ignore(conn, Revision, [{"kind": kind, "number": 0}])
        await conn.execute(update(Revision).where(Revision.kind == kind).values(number=Revision.number + 1))


class Revisions:
    """Polls the revisions and calls those who asked to know."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._seen: dict[str, int] = {}
        self._callbacks: dict[str, list[Callable[[], Awaitable[None]]]] = defaultdict(list)
        self._polled_at = 0.0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def fresh(self) -> bool:
        """False when the last successful poll is more than a second ago."""
        return time.monotonic() - self._polled_at < FRESH_SECONDS

    def on_change(self, kind: str, callback: Callable[[], Awaitable[None]]) -> None:
        """Call `callback` after each change of this kind; it must bear being called once too often."""
        self._callbacks[kind].append(callback)

    async def start(self) -> None:
        """Read the revisions once, then go on in the background."""
        await self.poll()
        self._task = asyncio.create_task(self._run(), name="revisions")

    async def stop(self) -> None:
        """End the background task, between two polls: a read that is cancelled would keep its connection."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def poll(self) -> None:
        """Read the revisions and call back for those that changed since the last time."""
        started = time.monotonic()
        async with self._db.read() as conn:
            rows = (await conn.execute(select(Revision.kind, Revision.number))).all()
        changed = [kind for kind, number in rows if self._seen.get(kind) != number]
        for kind in changed:
            for callback in self._callbacks[kind]:
                await callback()
        # Only now: a callback that fails leaves the kind unseen, so that the next poll tries again.
        self._seen.update({kind: number for kind, number in rows})
        self._polled_at = started

    async def _run(self) -> None:
        while not await self._told_to_stop():
            try:
                async with asyncio.timeout(5):
                    await self.poll()
            except Exception as error:  # the loop must outlive every outage of the database
                log.warning("revisions could not be polled: %s", type(error).__name__)

    async def _told_to_stop(self) -> bool:
        """True at once when told; False after the pause between two polls."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True
