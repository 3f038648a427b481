"""Accepting: concurrent requests go into the database together, one chunk row per application, lane and due time.

Requests that arrive while a flush is in progress wait for the next one. The waiting room is bounded in count and bytes.
A request is answered only after its chunk is committed; ids are chosen before, so that a lost COMMIT can be looked up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Coroutine, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, String, any_, insert, literal, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import Database, bulk, new_id
from portal.db.engine import is_contention
from portal.errors import Conflict, InvalidInput, PortalError, TooMany, Unavailable
from portal.ledger.models import Chunk, Idempotency
from portal.ledger.packing import join_members
from portal.queues import Bell, Hint
from portal.runtime import failpoints

# A second flush begins only beside one that has taken so long (seconds): requests that wait make the next flush larger, and
# a round trip costs more than a row; but one that waits for a lock must not hold up everybody.
FLUSHES_AT_ONCE = 2
LONG_FLUSH = 0.02
LOOK_UP_TRIES = 5
# After a flush that waited so long (seconds) for a database that did not come, nobody waits for the next one.
PATIENCE = 2.0
# A plan made once for thousands of unknown keys compares each row of the table with each key; one made for these keys
# uses the index.
CONTEST_SETTINGS = (
    "SELECT set_config('lock_timeout', '2s', true), set_config('plan_cache_mode', 'force_custom_plan', true)"
)

log = logging.getLogger(__name__)


class Request:
    """A validated notification on its way into a chunk.

    `done` resolves to the id of the notification that answers the request: its own, or the one that an earlier
    request with the same idempotency key made.
    """

    __slots__ = ("application_id", "done", "due", "fingerprint", "id", "key", "lane", "member")

    def __init__(
        self,
        *,
        id: UUID,  # noqa: A002 - the notification's id
        application_id: UUID,
        lane: str,
        member: bytes,
        due: datetime | None = None,
        key: str | None = None,
        fingerprint: bytes = b"",
    ) -> None:
        self.id = id
        self.application_id = application_id
        self.lane = lane
        self.member = member
        self.due = due
        self.key = key
        self.fingerprint = fingerprint
        self.done: asyncio.Future[UUID]


class Loser(NamedTuple):
    """A request whose idempotency key was used before: with its error, or the id that answers it."""

    request: Request
    error: PortalError | None
    notification_id: UUID | None

    def answer(self) -> None:
        """Let the caller know."""
        if self.request.done.done():
            return
        if self.notification_id is not None:
            self.request.done.set_result(self.notification_id)
        elif self.error is not None:
            self.request.done.set_exception(self.error)


class Acceptor:
    """The waiting room of one process and its flushes."""

    def __init__(
        self,
        db: Database,
        bell: Bell,
        *,
        waiting: int,
        waiting_bytes: int,
        chunk_sizes: dict[str, int],
    ) -> None:
        self._db = db
        self._bell = bell
        self._most = waiting
        self._most_bytes = waiting_bytes
        self._chunk_sizes = chunk_sizes
        self._queue: list[Request] = []
        self._bytes = 0
        self._flushes = 0
        # When the latest flush began, in monotonic seconds.
        self._began = 0.0
        self._flushes_at_once = 1 if db.dialect == "sqlite" else FLUSHES_AT_ONCE
        self._tasks: set[asyncio.Task[Any]] = set()
        self.accepted = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for a flush."""
        return len(self._queue)

    def submit(self, request: Request) -> asyncio.Future[UUID]:
        """Put the request into the next flush; raises `TooMany` when the waiting room is full."""
        size = len(request.member)
        if len(self._queue) >= self._most or self._bytes + size > self._most_bytes:
            raise TooMany("Too many requests wait for the database.", retry_after=1.0, code="waiting_room_full")
        request.done = asyncio.get_running_loop().create_future()
        self._queue.append(request)
        self._bytes += size
        if self._flushes == 0 or (self._flushes < self._flushes_at_once and self._is_long()):
            self._start_flush()
        return request.done

    async def accept_all(self, requests: Sequence[Request]) -> list[UUID | PortalError]:
        """Accept many at once (the bulk door): each one's answering id or what is wrong with it."""
        for request in requests:
            request.done = asyncio.get_running_loop().create_future()
        await self._flush(list(requests))
        return [_outcome(request.done) for request in requests]

    async def close(self) -> None:
        """Wait until everything that was submitted is answered."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_long(self) -> bool:
        return time.monotonic() - self._began > LONG_FLUSH

    def _start_flush(self) -> None:
        self._flushes += 1
        self._spawn(self._run())

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        """Flush until nobody waits."""
        try:
            while self._queue:
                requests, self._queue, self._bytes = self._queue, [], 0
                self._began = time.monotonic()
                await self._flush(requests)
        finally:
            self._flushes -= 1

    async def _flush(self, requests: list[Request]) -> None:
        started = time.monotonic()
        try:
            chunks = await self._store(requests)
        except Exception as error:
            await self._mend(requests, error)
            if isinstance(error, Unavailable) and time.monotonic() - started > PATIENCE:
                self._shed(error)
            return
        self.accepted += sum(chunk["accepted"] for chunk in chunks)
        for request in requests:
            if not request.done.done():
                request.done.set_result(request.id)
        failpoints.hit("before_ring")
        # Nobody waits for the bell: a lost ring is found by the sweeper.
        self._spawn(self._bell.ring_many([Hint(row["lane"], row["id"], row.get("not_before")) for row in chunks]))

    def _shed(self, error: Unavailable) -> None:
        """Those that have waited for a flush that waited in vain need not wait for another."""
        requests, self._queue, self._bytes = self._queue, [], 0
        for request in requests:
            request.done.set_exception(error)

    async def _store(self, requests: list[Request]) -> list[dict[str, Any]]:
        """Commit the requests; those that lose an idempotency key are answered here and not stored."""
        failpoints.hit("before_commit")
        if any(request.key is not None for request in requests):
            chunks, losers = await self._db.transact(self._store_with_keys, requests)
            # Only now: until the commit, what answers them may be of this very transaction.
            for loser in losers:
                loser.answer()
        else:
            chunks = self._chunks(requests)
            try:
                await self._insert(chunks)
            except Unavailable:
                if not await self._committed(chunks):
                    raise
        failpoints.hit("after_commit")
        return chunks

    async def _insert(self, chunks: list[dict[str, Any]]) -> None:
        if len(chunks) == 1:
            async with self._db.single() as conn:
                await conn.execute(insert(Chunk), chunks[0])
            return
        await self._db.transact(_insert_chunks, chunks)

    async def _store_with_keys(
        self, conn: AsyncConnection, requests: list[Request]
    ) -> tuple[list[dict[str, Any]], list[Loser]]:
        winners, losers = await _contest(conn, requests)
        chunks = self._chunks(winners)
        await _insert_chunks(conn, chunks)
        return chunks, losers

    def _chunks(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """One chunk row per application, lane and due time, cut to the lane's size."""
        groups: dict[tuple[UUID, str, datetime | None], list[Request]] = defaultdict(list)
        for request in requests:
            groups[request.application_id, request.lane, request.due].append(request)
        rows = []
        for (application_id, lane, due), members in groups.items():
            size = self._chunk_sizes[lane]
            for start in range(0, len(members), size):
                rows.append(_chunk_row(application_id, lane, due, members[start : start + size]))
        return rows

    async def _committed(self, chunks: list[dict[str, Any]]) -> bool:
        """Whether a flush whose answer was lost took place: its ids were chosen before it."""
        for attempt in range(LOOK_UP_TRIES):
            try:
                async with self._db.read() as conn:
                    ids = [chunk["id"] for chunk in chunks]
                    found = (await conn.execute(select(Chunk.id).where(Chunk.id.in_(ids)))).all()
                return len(found) == len(ids)
            except Unavailable:
                await asyncio.sleep(0.1 * 2**attempt)
        return False

    async def _mend(self, requests: list[Request], error: Exception) -> None:
        """A flush that failed on data is tried in halves, so that only the guilty request gets the error."""
        open_requests = [request for request in requests if not request.done.done()]
        if len(open_requests) > 1 and not isinstance(error, Unavailable):
            middle = len(open_requests) // 2
            await self._flush(open_requests[:middle])
            await self._flush(open_requests[middle:])
            return
        for request in open_requests:
            request.done.set_exception(_answer_for(error, request))


def _answer_for(error: Exception, request: Request) -> PortalError:
    if isinstance(error, PortalError):
        return error
    if is_contention(error):
        if request.key is None:
            return Unavailable("The database is too busy now; try again shortly.")
        return Conflict("A request with this Idempotency-Key is still in progress.", code="idempotency_in_progress")
    log.error("a notification could not be stored: %s", type(error).__name__)
    if isinstance(error, DBAPIError):
        return InvalidInput({"body": "the database refused this content"}, code="not_storable")
    return Unavailable("The notification could not be stored now; try again shortly.")


def _outcome(done: asyncio.Future[UUID]) -> UUID | PortalError:
    error = done.exception()
    if error is None:
        return done.result()
    if isinstance(error, PortalError):
        return error
    raise error


def _chunk_row(application_id: UUID, lane: str, due: datetime | None, members: Sequence[Request]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": new_id(),
        "kind": "plan",
        "lane": lane,
        "application_id": application_id,
        "members": join_members([request.member for request in members]),
        "first_id": min(request.id for request in members),
        "last_id": max(request.id for request in members),
        "size": len(members),
        "accepted": len(members),
    }
    if due is not None:
        row["not_before"] = due
    return row


async def _insert_chunks(conn: AsyncConnection, chunks: Sequence[dict[str, Any]]) -> None:
    for row in chunks:
        await conn.execute(insert(Chunk), row)


async def _contest(conn: AsyncConnection, requests: Sequence[Request]) -> tuple[list[Request], list[Loser]]:
    """Let the primary key decide who was first with each idempotency key: those to be stored, and the others."""
    # Locked in one order by everybody, two flushes that share keys cannot deadlock.
    keyed = sorted((r for r in requests if r.key is not None), key=lambda r: (r.application_id.bytes, r.key or ""))
    if conn.dialect.name == "postgresql":
        await conn.exec_driver_sql(CONTEST_SETTINGS)
    rows = {(r.application_id, r.key): _key_row(r) for r in reversed(keyed)}
    await bulk.insert_ignore(conn, Idempotency, list(reversed(rows.values())))
    columns = (Idempotency.application_id, Idempotency.key, Idempotency.fingerprint, Idempotency.notification_id)
    found = await conn.execute(
        select(*columns).where(
            Idempotency.application_id.in_({r.application_id for r in keyed}),
            _any_of(conn, {r.key for r in keyed if r.key is not None}),
        )
    )
    holders = {(row.application_id, row.key): row for row in found}
    winners = [request for request in requests if request.key is None]
    losers: list[Loser] = []
    for request in keyed:
        holder = holders[request.application_id, request.key]
        if holder.notification_id == request.id:
            winners.append(request)
        elif bytes(holder.fingerprint) == request.fingerprint:
            losers.append(Loser(request, None, holder.notification_id))
        else:
            losers.append(Loser(request, _other_body(), None))
    return winners, losers


def _any_of(conn: AsyncConnection, keys: Collection[str]) -> ColumnElement[bool]:
    """That the key is one of these; on PostgreSQL as one array, because thousands of parameters cost more than the query."""
    if conn.dialect.name == "postgresql":
        return Idempotency.key == any_(literal(list(keys), ARRAY(String)))
    return Idempotency.key.in_(keys)


def _other_body() -> PortalError:
    return InvalidInput(
        {"Idempotency-Key": "this key was used with another body; use a new key for another request"},
        code="idempotency_mismatch",
    )


def _key_row(request: Request) -> dict[str, Any]:
    return {
        "application_id": request.application_id,
        "key": request.key,
        "fingerprint": request.fingerprint,
        "notification_id": request.id,
    }
