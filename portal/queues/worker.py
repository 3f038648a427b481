"""The worker: takes hints high first, keeps slots for high, and goes on by the database when Redis is away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar, copy_context
from datetime import UTC
from functools import partial
from itertools import chain
from typing import Any
from uuid import UUID

from arq.connections import ArqRedis
from arq.worker import Worker, func
from msgspec import Struct
from redis.exceptions import RedisError

from portal.kv import Kv
from portal.kv.presence import Presence
from portal.queues.lanes import FUNCTION, JOB, LANE_OF, LANES, QUEUES, bell_channel, chunk_of, deserialize, serialize
from portal.queues.scripts import RENEW, TURN
from portal.runtime.logs import summary

log = logging.getLogger("portal.queues")

Handle = Callable[[str, UUID], Awaitable[None]]
Poll = Callable[[], Awaitable[list[tuple[str, UUID]]]]

LOCK_SECONDS = 3.0
RENEW_SECONDS = 0.75
IDLE_SECONDS = 0.5
DATABASE_POLL_SECONDS = 0.25
# Small, so that two idle workers share what is rung at once.
PICKS_PER_TURN = 4
JOB_SECONDS = 900.0
CANCEL_SECONDS = 2.0
DATABASE_GAP_SECONDS = 0.02
BACKOFF_LAST = 2.0
HINTS_DROPPED_PER_CHECK = 500
# Lower work waits so long at a pause for high work of its process; longer, and a steady trickle of high would stop it.
GIVE_WAY_SECONDS = 0.05

_DIRECT = "db:"
_queue: ContextVar[str] = ContextVar("portal_lane_queue")
_worker: ContextVar[LaneWorker | None] = ContextVar("portal_lane_worker", default=None)


class Slots(Struct, frozen=True):
    """How busy a worker is: slots in all, free ones, those only high may use, and chunks running per lane."""

    total: int
    free: int
    reserve: int
    running: dict[str, int]

    @property
    def free_for_lower(self) -> int:
        """Slots that medium and low may still take."""
        return max(0, self.free - self.reserve)


async def give_way() -> None:
    """A pause in long work, to be made every few milliseconds: others run, and high work of this process goes first.

    Work of a lower lane waits here until no high chunk runs in its worker, at most 50 ms: each step of a high chunk
    would otherwise queue behind a slice of every lower chunk in the same event loop. Elsewhere it is `sleep(0)`.
    """
    await asyncio.sleep(0)
    worker = _worker.get()
    if worker is not None and _queue.get() != QUEUES["high"]:
        await worker.until_no_high(GIVE_WAY_SECONDS)


class LaneWorker(Worker):
    """arq's worker over three queues instead of one, with one round trip per turn instead of nine per job.

    `queue_name` reads a ContextVar, so whatever runs for a job finds the queue it came from. `handle(lane, chunk_id)`
    does the work; an error of it is logged by type and place, and the hint is done with: the database knows what
    remains. `poll()` answers due chunks, high first, from the database; it is asked while Redis is of no use.
    """

    def __init__(
        self,
        kv: Kv,
        handle: Handle,
        poll: Poll,
        *,
        slots: int = 10,
        reserve: int = 2,
        starvation_seconds: float | None = None,
        lock_seconds: float = LOCK_SECONDS,
    ) -> None:
        """`starvation_seconds`: a lower hint that waited so long is taken before high, one per pick; None: never."""
        self.kv, self._handle, self._poll = kv, handle, poll
        self.reserve = min(reserve, slots - 1)
        super().__init__(
            [func(self._chunk, name=FUNCTION)],
            queue_name=QUEUES["high"],
            redis_pool=ArqRedis(kv.client.connection_pool, job_serializer=serialize, job_deserializer=deserialize),
            handle_signals=False,
            job_completion_wait=1,
            max_jobs=slots,
            keep_result=0,
            max_tries=2**31,
            retry_jobs=True,
            job_serializer=serialize,
            job_deserializer=deserialize,
            timezone=UTC,
            log_results=False,
        )
        self.in_progress_timeout_s = lock_seconds
        self.starvation_picks = 0
        self.presence = Presence(kv, "worker")
        self._bound_ms = int((starvation_seconds or 0) * 1000)
        self._turn: Any = kv.client.register_script(TURN)
        self._renew: Any = kv.client.register_script(RENEW)
        self._channel = bell_channel(kv.client.connection_pool.connection_kwargs.get("db") or 0)
        self._running: Counter[str] = Counter()
        self._payloads: dict[str, bytes] = {}
        self._ended: list[tuple[int, str, int]] = []
        self._chunks: set[UUID] = set()
        self._wake, self._changed, self._no_high = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._no_high.set()
        self._rest = IDLE_SECONDS
        self._failures = 0
        # arq logs a line per job at INFO, with arguments; ours are ids, but it is still a line per job.
        logging.getLogger("arq.worker").setLevel(logging.WARNING)
        kv.watch(self._redis_changed)

    @property
    def queue_name(self) -> str:
        """The queue of the running task; every method of arq that a job's task calls then cleans the right one."""
        return _queue.get(QUEUES["high"])

    @queue_name.setter
    def queue_name(self, name: str) -> None:
        """arq sets it once; ours is the same for every worker."""

    @property
    def slots(self) -> Slots:
        """The slots as they are now."""
        return Slots(self.max_jobs, self.max_jobs - self.job_counter, self.reserve, dict(self._running))

    async def until_no_high(self, seconds: float) -> None:
        """Wait until no high chunk runs here, at most so long."""
        if not self._no_high.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._no_high.wait()

    async def run_until(self, stop: asyncio.Event, *, drain_seconds: float) -> None:
        """Work until `stop` is set, then take nothing more, give what runs `drain_seconds`, and cancel the rest."""
        main = self.main_task = asyncio.create_task(self.main(), name="lanes")
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({main, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if main.done():
                main.result()
            await self._drain(drain_seconds)
        finally:
            for task in (stopped, main):
                task.cancel()
            await asyncio.gather(stopped, main, return_exceptions=True)
            await self._say_goodbye()

    async def main(self) -> None:
        """Pick, rest, and pick again; locks are renewed and the bell is heard beside it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="lanes-bell")
            group.create_task(self._keep_beating(), name="lanes-heart-beat")
            while True:
                await self._poll_iteration()
                # Not wait_for: until Python 3.12 it can swallow a cancellation that comes with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._rest):
                        await self._wake.wait()

    # -- picking ------------------------------------------------------------------------------------------------------

    async def _poll_iteration(self) -> None:
        """Fill the free slots, from Redis or, while it is of no use, from the database. Errors only make it wait."""
        self._wake.clear()
        self._rest = IDLE_SECONDS
        try:
            await (self._pick_hints() if self.kv.up else self._pick_due())
            self._failures = 0
        except (RedisError, OSError, TimeoutError) as error:
            if self.kv.note(error) == "error" and not self._failures:
                log.error("lanes: Redis refuses a command: %s", type(error).__name__)
            await self._back_off()

    async def _pick_hints(self) -> None:
        """Turn after turn until the slots are full or nothing is due."""
        more = True
        while more or self._ended:
            slots = self.slots
            want = min(slots.free, PICKS_PER_TURN) if self.allow_pick_jobs else 0
            more = await self._take_turn(want, min(want, slots.free_for_lower)) == want > 0

    async def _take_turn(self, want: int, lower: int) -> int:
        """Hand in what ended and start up to `want` hints, `lower` of them of lower lanes; returns how many."""
        ended, self._ended = self._ended, []
        try:
            next_due, starved, *picks = await self._turn(
                keys=list(QUEUES.values()),
                args=[want, lower, self.kv.process, self._lock_ms, self._bound_ms, *chain.from_iterable(ended)],
            )
        except BaseException:
            self._ended += ended
            raise
        self.starvation_picks += starved
        for lane, job_id, payload in zip(picks[::3], picks[1::3], picks[2::3], strict=True):
            self._start(LANES[lane - 1], job_id.decode(), payload)
        if next_due >= 0:
            self._rest = min(self._rest, next_due / 1000)
        return len(picks) // 3

    @property
    def _lock_ms(self) -> int:
        return int(self.in_progress_timeout_s * 1000)

    def _start(self, lane: str, job_id: str, payload: bytes) -> None:
        self._payloads[job_id] = payload
        self._run(lane, job_id, self.run_job(job_id, 0))

    async def run_job(self, job_id: str, score: int) -> None:
        """Run one hint; the next turn hands it in. A cancelled one is given back instead, for others to take at once.

        arq's own would fetch the payload, count the try and clean up, each in a round trip; the turn brought the first,
        the database does the second.
        """
        payload, lane, done = self._payloads.pop(job_id), LANE_OF[self.queue_name], 1
        try:
            await self._chunk({"job_id": job_id}, payload)
            self.jobs_complete += 1
        except asyncio.CancelledError:
            done = 0
            self.jobs_retried += 1
            raise
        finally:
            self._ended.append((LANES.index(lane) + 1, job_id, done))

    def _run(self, lane: str, job_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Take a slot; whatever the task calls finds its queue and its worker in its context."""
        context = copy_context()
        context.run(_queue.set, QUEUES[lane])
        context.run(_worker.set, self)
        task = self.tasks[job_id] = asyncio.create_task(work, context=context)
        self.job_counter += 1
        self._running[lane] += 1
        if lane == "high":
            self._no_high.clear()
        task.add_done_callback(partial(self._finished, lane, job_id))

    def _finished(self, lane: str, job_id: str, task: asyncio.Task[None]) -> None:
        """A slot is free again."""
        self.tasks.pop(job_id, None)
        self.job_counter -= 1
        self._running[lane] -= 1
        if not self._running["high"]:
            self._no_high.set()
        self._wake.set()
        error = None if task.cancelled() else task.exception()
        if error is not None:  # the handler's errors were logged where they arose: this is one of ours
            log.error("lanes: job %s ended with %s", job_id, summary(error))

    # -- the database instead of Redis --------------------------------------------------------------------------------

    async def _pick_due(self) -> None:
        """Start what the database says is due, high first, on the same slots with the same reserve."""
        self._rest = DATABASE_POLL_SECONDS
        if self.kv.trouble == "memory":
            await self._drop_hints()
        # Redis will find that these ran when it is back and their locks are over.
        self._ended.clear()
        if self.slots.free == 0 or not self.allow_pick_jobs:
            return
        try:
            due = await self._poll()
        except Exception as error:  # whatever the database's driver raises: the next poll tries again
            if not self._failures:
                log.error("lanes: the database cannot be polled: %s", summary(error))
            await self._back_off()
            return
        for lane, chunk_id in due:
            slots = self.slots
            if chunk_id not in self._chunks and (slots.free if lane == "high" else slots.free_for_lower):
                self._chunks.add(chunk_id)
                self._run(lane, _DIRECT + chunk_id.hex, self._direct(lane, chunk_id))
        # A finished chunk wakes us before the 250 ms are over; this keeps many short ones from becoming a busy loop.
        await asyncio.sleep(DATABASE_GAP_SECONDS)

    async def _direct(self, lane: str, chunk_id: UUID) -> None:
        try:
            await self._guarded(lane, chunk_id)
        finally:
            self._chunks.discard(chunk_id)

    async def _drop_hints(self) -> None:
        """Memory is full: hints are the one thing of ours in Redis that can go at once, low first."""
        for lane in reversed(LANES):
            ids = [member.decode() for member in await self.pool.zrange(QUEUES[lane], 0, HINTS_DROPPED_PER_CHECK - 1)]
            if ids:
                await self.pool.delete(*(JOB + job_id for job_id in ids))
                await self.pool.zrem(QUEUES[lane], *ids)
                log.warning("lanes: Redis is out of memory, dropped %d hints of lane %s", len(ids), lane)
                return

    async def _back_off(self) -> None:
        self._failures += 1
        most = min(BACKOFF_LAST, 0.05 * 2 ** min(self._failures, 8))
        await asyncio.sleep(random.uniform(most / 2, most))

    # -- the work -----------------------------------------------------------------------------------------------------

    async def _chunk(self, ctx: dict[str, Any], payload: bytes) -> None:
        """The one arq function."""
        lane, chunk_id = LANE_OF[self.queue_name], chunk_of(payload)
        if chunk_id is None:
            log.error("lanes: hint %s of lane %s is not one of ours; dropped", ctx["job_id"], lane)
            return
        await self._guarded(lane, chunk_id)

    async def _guarded(self, lane: str, chunk_id: UUID) -> None:
        try:
            # Between the pick and the claim a high chunk may have come: it claims first.
            await give_way()
            async with asyncio.timeout(JOB_SECONDS):
                await self._handle(lane, chunk_id)
        except (Exception, SystemExit) as error:
            log.error("chunk %s of lane %s failed: %s", chunk_id, lane, summary(error))

    # -- beside the work ----------------------------------------------------------------------------------------------

    async def heart_beat(self) -> None:
        """Renew the locks of the running hints and tell the others that this worker lives."""
        ids = [job_id for job_id in self.tasks if not job_id.startswith(_DIRECT)]
        if ids:
            await self._renew(keys=ids, args=[self.kv.process, self._lock_ms])
        await self.presence.announce()

    async def _keep_beating(self) -> None:
        while True:
            if self.kv.up:
                try:
                    await self.heart_beat()
                except (RedisError, OSError, TimeoutError) as error:
                    self.kv.note(error)
            await asyncio.sleep(RENEW_SECONDS)

    async def _listen(self) -> None:
        """Hear the bell; a ring for a lane that has no free slot here is for others."""
        while True:
            self._changed.clear()
            if not self.kv.up:
                await self._changed.wait()
                continue
            try:
                async with self.kv.client.pubsub(ignore_subscribe_messages=True) as ears:
                    await ears.subscribe(self._channel)
                    self._wake.set()
                    while self.kv.up:
                        message = await ears.get_message(timeout=5.0)
                        if message is not None and self._can_take(message["data"].decode()):
                            self._wake.set()
            except (RedisError, OSError, TimeoutError) as error:
                self.kv.note(error)
                await asyncio.sleep(random.uniform(0.05, 0.2))

    def _can_take(self, queue: str) -> bool:
        slots = self.slots
        return (slots.free if queue == QUEUES["high"] else slots.free_for_lower) > 0

    def _redis_changed(self) -> None:
        self._changed.set()
        self._wake.set()

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _drain(self, seconds: float) -> None:
        self.allow_pick_jobs = False
        if self.tasks:
            await asyncio.wait(list(self.tasks.values()), timeout=seconds)
        rest = list(self.tasks.values())
        for task in rest:
            task.cancel()
        if rest:
            log.warning("lanes: %d chunks were still running after %.1f s and go back", len(rest), seconds)
            await asyncio.wait(rest, timeout=CANCEL_SECONDS)

    async def _say_goodbye(self) -> None:
        """Others need not wait for our locks and our name to expire, nor for the next poll to see what we gave back."""
        if not self.kv.up:
            return
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._take_turn(0, 0)
            await self.presence.leave()
            await self.kv.client.publish(self._channel, QUEUES["high"])
            await self.kv.client.publish(self._channel, QUEUES["low"])
