"""The bulk door: many notifications in one request, as a JSON array or one per line (NDJSON).

The body is read and checked to its end before anything is stored, item by item into a file that spills to disk, so that
memory stays flat, a body that breaks off stores nothing, and a request that needs approval is refused as a whole. Then
the items are accepted in slices. A bad item is reported and stops no other. When the client goes away while slices are
stored, what was stored stays: with an idempotency key per item the request can simply be sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import IO, Any
from uuid import UUID

import msgspec
from msgspec import Struct

from portal.access import ApiKeyEntry
from portal.db import Database, new_ids
from portal.errors import InvalidInput, NotAllowed, PortalError, TooLarge, TooMany, Unavailable
from portal.ledger.packing import Member, from_microseconds, to_microseconds
from portal.notifications.accept import Acceptor, Request
from portal.notifications.approval import add_to_window, take
from portal.notifications.attachments import check_attachments
from portal.notifications.body import ClientGone, Receive, stream_body
from portal.notifications.decode import decode
from portal.notifications.intake import JSON, Answer, Draft, Headers, Intake, canonical, check_idempotency_key
from portal.notifications.queries import known_keys
from portal.notifications.schemas import BulkItem, NotificationIn
from portal.notifications.split import Array, Lines, Splitter
from portal.preferences.categories import Categories
from portal.web.problems import problem, problem_fields

SLICE = 2_000
# Bulk requests that one process works on at the same time.
AT_ONCE = 2
BODY_SECONDS = 300.0
SPOOLED_BYTES = 8 * 1024 * 1024
# Templates that one request may name in vain before it is no longer looked up whether they were published just now.
LOOK_UPS = 20
PAUSE_EVERY = 100
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")

_item_decoder = msgspec.json.Decoder(BulkItem)
_FIELDS = NotificationIn.__struct_fields__


class Checked(Struct, array_like=True, gc=False):
    """One item after its check, on its way to being accepted: a member, or the error's JSON. `due` in microseconds."""

    line: int
    error: bytes | None = None
    member: Member | None = None
    lane: str = ""
    due: int | None = None
    key: str | None = None
    fingerprint: bytes = b""


class Spool:
    """Checked items in slices, in memory while they are few and on disk beyond."""

    def __init__(self) -> None:
        self.count = 0
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=SPOOLED_BYTES)  # noqa: SIM115 - closed by `close`
        self._slice: list[Checked] = []

    def add(self, item: Checked) -> None:
        """Keep one more item."""
        self.count += 1
        self._slice.append(item)
        if len(self._slice) >= SLICE:
            self.flush()

    def flush(self) -> None:
        """Write the slice at hand."""
        if self._slice:
            packed = _encoder.encode(self._slice)
            self._file.write(len(packed).to_bytes(8, "big"))
            self._file.write(packed)
            self._slice = []

    def slices(self) -> Iterator[list[Checked]]:
        """What was kept, in order, slice by slice; may be asked for more than once."""
        self.flush()
        self._file.seek(0)
        while length := self._file.read(8):
            yield _decoder.decode(self._file.read(int.from_bytes(length, "big")))

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Checked])


class BulkDoor:
    """Answers bulk requests of one process."""

    def __init__(
        self,
        *,
        db: Database,
        intake: Intake,
        acceptor: Acceptor,
        categories: Categories,
        max_items: int,
        max_item_bytes: int,
        threshold: int,
    ) -> None:
        self._db = db
        self._intake = intake
        self._acceptor = acceptor
        self._categories = categories
        self._max_items = max_items
        self._max_item_bytes = max_item_bytes
        self._threshold = threshold
        self._working = 0

    async def answer(self, headers: Headers, receive: Receive) -> Answer | None:
        """The answer to a bulk request; None when the client went away before the end of its body."""
        limits: list[tuple[bytes, bytes]] = []
        try:
            key = await self._intake.authenticate(headers)
            limits = await self._intake.limit(key)
            splitter = self._splitter(headers)
            if self._working >= AT_ONCE:
                raise TooMany("Other bulk requests are being worked on.", retry_after=2.0, code="bulk_busy")
            body = await self._work(key, splitter, receive)
        except PortalError as error:
            status, extra, body = problem(error)
            return Answer(status, [*extra, *limits], body)
        except ClientGone:
            return None
        return Answer(202, [JSON, *limits], body)

    async def _work(self, key: ApiKeyEntry, splitter: Splitter, receive: Receive) -> bytes:
        spool = Spool()
        self._working += 1
        try:
            counts = await self._check(key, splitter, receive, spool)
            counted = await self._count(key, counts, spool)
            return await self._accept(key, spool, counted)
        finally:
            self._working -= 1
            spool.close()

    async def _check(
        self, key: ApiKeyEntry, splitter: Splitter, receive: Receive, spool: Spool
    ) -> Counter[tuple[str, str]]:
        """Read the body to its end and check it; the good items of each template and category."""
        try:
            # Two who send a byte now and then must not close this door to everybody else.
            async with asyncio.timeout(BODY_SECONDS):
                check = Check(self._db, self._intake, key, self._max_items)
                return await check.run(splitter, stream_body(receive), spool)
        except TimeoutError:
            raise InvalidInput({"body": f"expected to end within {BODY_SECONDS:g} seconds"}, code="too_slow") from None

    def _splitter(self, headers: Headers) -> Splitter:
        content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().decode("latin-1").lower()
        if content_type in NDJSON_TYPES:
            return Lines(self._max_item_bytes)
        if content_type == "application/json":
            return Array(self._max_item_bytes)
        raise InvalidInput(
            {"Content-Type": "expected application/json (an array) or application/x-ndjson (one item per line)"},
            code="unsupported_media_type",
        )

    async def _count(
        self, key: ApiKeyEntry, counts: Counter[tuple[str, str]], spool: Spool
    ) -> Counter[tuple[str, str]]:
        """Count what needs counting for the threshold of approval; raises `NotAllowed` before anything is stored."""
        if key.mode == "test":
            return Counter()
        needs = Counter({group: n for group, n in counts.items() if not self._transactional(group[1])})
        if not needs:
            return needs
        try:
            await self._db.transact(take, key.application_id, needs, self._threshold)
        except NotAllowed:
            # A request that is sent again because its answer was lost must not count twice.
            needs -= await self._known(key, spool)
            await self._db.transact(take, key.application_id, needs, self._threshold)
        return needs

    def _transactional(self, category: str) -> bool:
        entry = self._categories.find(category)
        return entry is not None and entry.transactional

    async def _known(self, key: ApiKeyEntry, spool: Spool) -> Counter[tuple[str, str]]:
        """How many of the items were accepted before, by their idempotency keys."""
        known: Counter[tuple[str, str]] = Counter()
        for items in spool.slices():
            async with self._db.read() as conn:
                keys = await known_keys(conn, key.application_id, [item.key for item in items if item.key is not None])
            known.update((i.member.template, i.member.category) for i in items if i.member and i.key in keys)
        return known

    async def _accept(self, key: ApiKeyEntry, spool: Spool, counted: Counter[tuple[str, str]]) -> bytes:
        """Store the good items slice by slice, the next made ready meanwhile; the body of the answer."""
        results = Results()
        storing: asyncio.Task[None] | None = None
        try:
            for items in spool.slices():
                requests = _requests(key.application_id, items)
                if storing is not None:
                    await storing
                if results.accepted == 0 and results.outage is not None:
                    raise results.outage
                storing = asyncio.create_task(self._accept_slice(items, requests, results))
            if storing is not None:
                await storing
            if results.accepted == 0 and results.outage is not None:
                raise results.outage
        finally:
            if storing is not None:
                await asyncio.gather(storing, return_exceptions=True)
            unused = {group: results.new[group] - n for group, n in counted.items() if results.new[group] < n}
            if unused:
                await self._db.transact(add_to_window, key.application_id, unused)
        return results.body()

    async def _accept_slice(self, items: Sequence[Checked], requests: list[Request], results: Results) -> None:
        outcomes = iter(zip(requests, await self._acceptor.accept_all(requests), strict=True))
        for n, item in enumerate(items, 1):
            if item.member is None:
                results.add_error(item.line, item.error or b"{}")
                continue
            request, outcome = next(outcomes)
            if isinstance(outcome, PortalError):
                results.add_failure(item.line, outcome)
                continue
            results.add(item.line, outcome, scheduled=item.due is not None, replayed=outcome != request.id)
            if outcome == request.id:
                results.new[item.member.template, item.member.category] += 1
            if n % PAUSE_EVERY == 0:
                await asyncio.sleep(0)


class Check:
    """Checks the items of one request."""

    def __init__(self, db: Database, intake: Intake, key: ApiKeyEntry, max_items: int) -> None:
        self._db = db
        self._intake = intake
        self._key = key
        self._max_items = max_items
        self._missing: set[str] = set()
        self._looked_up = 0
        self._files: dict[tuple[tuple[UUID, ...], datetime | None], InvalidInput | None] = {}

    async def run(self, splitter: Splitter, pieces: AsyncIterator[bytes], spool: Spool) -> Counter[tuple[str, str]]:
        """Put every item into the spool, checked; how many good ones there are of each template and category."""
        counts: Counter[tuple[str, str]] = Counter()
        async for piece in pieces:
            await self._take(splitter.feed(piece), spool, counts)
        await self._take(splitter.end(), spool, counts)
        if not spool.count:
            raise InvalidInput({"body": "expected at least one item"})
        return counts

    async def _take(self, items: list[tuple[int, bytes]], spool: Spool, counts: Counter[tuple[str, str]]) -> None:
        now = time.time()
        for n, (line, text) in enumerate(items, 1):
            if spool.count >= self._max_items:
                raise TooLarge(f"A bulk request has at most {self._max_items} items.", limit=self._max_items)
            checked = await self._checked(line, text, now)
            if checked.member is not None:
                counts[checked.member.template, checked.member.category] += 1
            spool.add(checked)
            if n % PAUSE_EVERY == 0:
                # Single sends are served by the same loop.
                await asyncio.sleep(0)

    async def _checked(self, line: int, text: bytes, now: float) -> Checked:
        try:
            ask = decode(text, _item_decoder)
            draft = await self._draft(ask, now)
            key = None if ask.idempotency_key is None else _key(ask.idempotency_key)
        except PortalError as error:
            return Checked(line, error_json(error))
        due = to_microseconds(draft.due) if draft.due is not None else None
        return Checked(line, None, draft.member, draft.lane, due, key, _fingerprint(ask) if key is not None else b"")

    async def _draft(self, ask: BulkItem, now: float) -> Draft:
        template = self._intake.known_template(ask.template)
        if template is None:
            if ask.template in self._missing or self._looked_up >= LOOK_UPS:
                raise self._intake.no_template(ask.template)
            self._looked_up += 1
            self._missing.add(ask.template)
            template = await self._intake.template(ask.template)
            self._missing.discard(ask.template)
        draft = self._intake.draft(self._key, ask, template, now)
        if ask.attachments:
            await self._check_files(tuple(ask.attachments), draft.due)
        return draft

    async def _check_files(self, ids: tuple[UUID, ...], due: datetime | None) -> None:
        """Once for all items that name the same files at the same time."""
        if (ids, due) not in self._files:
            self._files[ids, due] = None
            try:
                async with self._db.read() as conn:
                    await check_attachments(conn, self._key.application_id, ids, due)
            except InvalidInput as error:
                self._files[ids, due] = error
        refusal = self._files[ids, due]
        if refusal is not None:
            raise InvalidInput(refusal.fields)


class Results:
    """The per-item answers as JSON, in order, and their counts."""

    def __init__(self) -> None:
        self.accepted = 0
        self.rejected = 0
        self.outage: Unavailable | None = None
        # Items that were stored now, by template and category.
        self.new: Counter[tuple[str, str]] = Counter()
        self._parts = bytearray()

    def add(self, line: int, id_: UUID, *, scheduled: bool, replayed: bool) -> None:
        """An accepted item."""
        status = b"scheduled" if scheduled else b"accepted"
        extra = b',"replayed":true' if replayed else b""
        answer = (self._index, line, str(id_).encode(), status, extra)
        self._parts += b',{"index":%d,"line":%d,"id":"%b","status":"%b"%b}' % answer
        self.accepted += 1

    def add_failure(self, line: int, error: PortalError) -> None:
        """An item that could not be stored."""
        if isinstance(error, Unavailable):
            self.outage = error
        self.add_error(line, error_json(error))

    def add_error(self, line: int, error: bytes) -> None:
        """A refused item."""
        self._parts += b',{"index":%d,"line":%d,"error":%b}' % (self._index, line, error)
        self.rejected += 1

    def body(self) -> bytes:
        """The whole answer."""
        del self._parts[:1]
        return b'{"accepted":%d,"rejected":%d,"results":[%b]}' % (self.accepted, self.rejected, bytes(self._parts))

    @property
    def _index(self) -> int:
        return self.accepted + self.rejected


def error_json(error: PortalError) -> bytes:
    """An item's error: code, detail, and the fields where it has some."""
    body: dict[str, Any] = {"code": error.code, "detail": error.message, "errors": problem_fields(error)}
    return msgspec.json.encode(body)


def _requests(application_id: UUID, items: Sequence[Checked]) -> list[Request]:
    """The good items for the acceptor; their time of creation is that of their ids."""
    now = int(time.time() * 1_000_000)
    good = [item for item in items if item.member is not None]
    found = []
    for id_, item in zip(new_ids(len(good)), good, strict=True):
        assert item.member is not None
        item.member.created = now
        if item.due is None:
            item.member.due = now
        due = from_microseconds(item.due) if item.due is not None else None
        draft = Draft(item.member, item.lane, due)
        found.append(draft.request(id_, application_id, item.key, item.fingerprint))
    return found


def _key(given: str) -> str:
    try:
        return check_idempotency_key(given)
    except InvalidInput as error:
        raise InvalidInput({"idempotency_key": next(iter(error.fields.values()))}) from None


def _fingerprint(ask: BulkItem) -> bytes:
    """That of the same notification sent alone: the key is not part of it."""
    return hashlib.sha256(canonical.encode({name: getattr(ask, name) for name in _FIELDS})).digest()
