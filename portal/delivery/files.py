"""Files that go with messages: loaded for the call alone, so that a chunk of five hundred invoices is never in memory at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID

import msgspec

from portal.db import Database
from portal.delivery.job import Job
from portal.errors import Unavailable
from portal.notifications.attachments import load_attachments
from portal.sdk import Message, SendFailed

# Calls to one account that hold files at the same time.
CALLS_WITH_FILES = 4


class Packed(NamedTuple):
    """Jobs with their messages, files and all, and jobs that cannot be sent with the reason."""

    jobs: list[Job]
    messages: list[Message]
    failed: list[tuple[Job, SendFailed]]


class Files:
    """Gives messages their files, a few calls at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._calls: dict[UUID, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(CALLS_WITH_FILES))

    @asynccontextmanager
    async def packed(self, account_id: UUID, jobs: Sequence[Job]) -> AsyncIterator[Packed]:
        """The messages of one call, for as long as the block runs."""
        wanted = {file for job in jobs for file in job.files}
        if not wanted:
            yield Packed(list(jobs), [job.message for job in jobs], [])
            return
        async with self._calls[account_id]:
            yield await self._load(jobs, wanted)

    async def _load(self, jobs: Sequence[Job], wanted: set[str]) -> Packed:
        try:
            async with self._db.read() as conn:
                files = await load_attachments(conn, wanted)
        except Unavailable:
            failure = SendFailed("The attached files could not be read.", code="files_unavailable")
            return Packed([], [], [(job, failure) for job in jobs])
        packed = Packed([], [], [])
        for job in jobs:
            if all(file in files for file in job.files):
                packed.jobs.append(job)
                attachments = tuple(files[file] for file in job.files)
                packed.messages.append(msgspec.structs.replace(job.message, attachments=attachments))
            else:
                gone = SendFailed("An attached file is no longer kept.", permanent=True, code="file_gone")
                packed.failed.append((job, gone))
        return packed
