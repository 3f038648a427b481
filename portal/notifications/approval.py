"""How many notifications of a template and category an application sent in this hour, through all doors.

Above a threshold a bulk request needs an approved batch. Single sends are counted in memory and written about once a
second, so that what other processes accepted in the last second may be missing from a decision; a bulk request is
counted before it is stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import Database, bulk
from portal.errors import NotAllowed
from portal.ledger.models import BulkWindow

SAVE_SECONDS = 1.0
KEPT = timedelta(days=2)

log = logging.getLogger(__name__)

# (template key, category) → notifications
Counts = Mapping[tuple[str, str], int]


class Singles:
    """Counts single sends of one process and writes them soon after."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counts: dict[tuple[UUID, str, str], int] = {}
        self._saving: asyncio.Task[None] | None = None
        self._forgot_at: datetime | None = None

    def count(self, application_id: UUID, template: str, category: str) -> None:
        """One more was accepted."""
        key = (application_id, template, category)
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._saving is None:
            self._saving = asyncio.create_task(self._save_soon(), name="bulk-window")

    async def save(self) -> None:
        """Write what was counted since the last time; it is counted again when the database does not take it."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            await self._db.transact(_add_all, counts)
            if self._forgot_at != _hour():
                self._forgot_at = _hour()
                await self._db.transact(_forget, self._forgot_at - KEPT)
        except Exception as error:  # counting must never stop accepting
            log.warning("single sends could not be counted: %s", type(error).__name__)
            for key, n in counts.items():
                self._counts[key] = self._counts.get(key, 0) + n

    async def close(self) -> None:
        """Write the rest."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)
        await self.save()

    async def _save_soon(self) -> None:
        try:
            await asyncio.sleep(SAVE_SECONDS)
            await self.save()
        finally:
            self._saving = None


async def take(conn: AsyncConnection, application_id: UUID, counts: Counts, threshold: int) -> None:
    """Count these and stay at or below the threshold, or raise `NotAllowed` (then the caller's transaction is undone)."""
    await add_to_window(conn, application_id, counts)
    columns = (BulkWindow.template_key, BulkWindow.category, BulkWindow.n)
    mine = select(*columns).where(BulkWindow.application_id == application_id, BulkWindow.hour == _hour())
    for template, category, n in await conn.execute(mine):
        if (template, category) in counts and n > threshold:
            raise NotAllowed(
                f"This would make {n} notifications of the template {template} and category {category} in this hour; "
                f"more than {threshold} need an approved batch, or a category that an approver marked transactional.",
                code="approval_required",
            )


async def add_to_window(conn: AsyncConnection, application_id: UUID, counts: Counts) -> None:
    """Add these counts to the current hour's."""
    await _add_all(conn, {(application_id, *key): n for key, n in counts.items()})


async def _add_all(conn: AsyncConnection, counts: Mapping[tuple[UUID, str, str], int]) -> None:
    hour = _hour()
    # Everybody in one order, so that two who count the same cannot deadlock.
    for (application_id, template, category), n in sorted(
        counts.items(), key=lambda item: (item[0][0].bytes, *item[0][1:])
    ):
        key = {"application_id": application_id, "template_key": template, "category": category, "hour": hour}
        where = [getattr(BulkWindow, name) == value for name, value in key.items()]
        added = await conn.execute(update(BulkWindow).where(*where).values(n=BulkWindow.n + n))
        if not added.rowcount:
            await bulk.insert_ignore(conn, BulkWindow, [{**key, "n": 0}])
            await conn.execute(update(BulkWindow).where(*where).values(n=BulkWindow.n + n))


async def _forget(conn: AsyncConnection, before: datetime) -> None:
    await conn.execute(delete(BulkWindow).where(BulkWindow.hour < before))


def _hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
