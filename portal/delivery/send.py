"""Sending one chunk: each account's jobs in slices, bounded by its bulkhead; every slice is settled before the next.

The worker's slot is given back while nothing but vendors is waited for, so that a slow vendor occupies its own bulkhead
and nobody's lane.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from portal.db import Database
from portal.db.engine import is_contention
from portal.delivery.claim import Lease, LeaseLost
from portal.delivery.files import Files
from portal.delivery.job import Job
from portal.delivery.plan import Plan
from portal.delivery.rests import Rests
from portal.delivery.retry import Policy
from portal.delivery.settle import Outcome, Rules, settle, store_plan
from portal.delivery.stops import Stops
from portal.errors import NotFound, Unavailable
from portal.preferences.categories import Categories
from portal.providers import Accounts, Kept, OpenAccount, send_many
from portal.queues import Bell, Hint
from portal.runtime import failpoints
from portal.sdk import Receipt, SendFailed

# Calls of one chunk to one account between two settlements: what a crash can leave in doubt.
CALLS_AT_ONCE = 32
STOPPED_SECONDS = 15.0
BUSY_SECONDS = 1.0
SETTLE_PAUSE = 0.2

log = logging.getLogger(__name__)


class Sender:
    """What sending needs of one process."""

    def __init__(
        self, db: Database, bell: Bell, accounts: Accounts, categories: Categories, stops: Stops, policy: Policy
    ) -> None:
        self.db = db
        self.bell = bell
        self.accounts = accounts
        self.categories = categories
        self.stops = stops
        self.rules = Rules(route=self._route, may_repeat=self.may_repeat, policy=policy)
        self.draining = False
        self.rests = Rests()
        self.files = Files(db)

    def may_repeat(self, job: Job) -> bool:
        """Whether a message that may have been accepted may be sent again."""
        if self.categories.doubt_policy(job.category) == "resend":
            return True
        account = self.account(job.account_id)
        return account is not None and account.usable and account.provider.capabilities.idempotency_hours > 0

    def account(self, account_id: UUID) -> OpenAccount | None:
        """The open account, or None when it was removed."""
        try:
            return self.accounts.get(account_id)
        except NotFound:
            return None

    def rest(self, account_id: UUID) -> float:
        """Seconds for which nothing may be sent to this account: it is stopped, or it rests."""
        return STOPPED_SECONDS if self.stops.account(account_id) else self.rests.left(account_id)

    def awake(self, job: Job) -> UUID:
        """The account to use now: the job's own, or the next of its route while that one rests."""
        if self.rest(job.account_id) == 0:
            return job.account_id
        others = (account for account in self._route(job) if str(account) not in (*job.refused, *job.failed))
        return next((account for account in others if self.rest(account) == 0), job.account_id)

    def _route(self, job: Job) -> Sequence[UUID]:
        if job.mode == "test":
            return [job.account_id]
        return self.accounts.route(job.channel, job.application_id)


class Group:
    """The jobs of one chunk for one account."""

    def __init__(self, account: OpenAccount, jobs: Sequence[Job], lane: str, *, probing: bool = False) -> None:
        # An account that comes back from a rest is asked with one call first.
        self.most = 1 if probing else CALLS_AT_ONCE
        self.account = account
        self.waiting = deque(jobs)
        self.lane = lane
        self.slots = 0

    async def take_slots(self, timeout: float | None) -> bool:
        """Take as many slots of the bulkhead as are free and of use, waiting for the first; False without any."""
        bulkhead = self.account.bulkhead
        if not await bulkhead.acquire(self.lane, timeout):
            return False
        self.slots = 1
        calls = -(-len(self.waiting) // self.account.batch)
        while self.slots < min(calls, self.most) and await bulkhead.acquire(self.lane, 0):
            self.slots += 1
        return True

    def release(self) -> None:
        """Give the slots back."""
        for _ in range(self.slots):
            self.account.bulkhead.release()
        self.slots = 0

    def next_slice(self) -> list[Job]:
        """The jobs that the slots can take now."""
        n = min(len(self.waiting), self.slots * self.account.batch)
        return [self.waiting.popleft() for _ in range(n)]


class Run:
    """One claimed chunk on its way from its plan to its last settlement."""

    def __init__(self, sender: Sender, lease: Lease, plan: Plan) -> None:
        self._sender = sender
        self._lease = lease
        self._plan = plan
        self._settling = asyncio.Lock()
        self._open_groups = 0
        self._handed_back = False

    async def start(self) -> list[asyncio.Task[None]]:
        """Store the plan with the attempts of the first slices, then send in the background."""
        groups, deferred = self._group()
        first: dict[int, list[Job]] = {}
        for index, group in enumerate(groups):
            # Whoever must wait for a slot waits in its own task and opens its attempts then.
            if await group.take_slots(0):
                first[index] = group.next_slice()
        opened = [job for slice_ in first.values() for job in slice_]
        self._open_groups = len(groups) + bool(deferred)
        try:
            await self._store(opened)
        except BaseException:
            for group in groups:
                group.release()
            raise
        tasks = [
            asyncio.create_task(self._send_group(group, first.get(index, []))) for index, group in enumerate(groups)
        ]
        if deferred:
            tasks.append(asyncio.create_task(self._defer(deferred)))
        return tasks

    async def _store(self, opened: Sequence[Job]) -> None:
        """Write the plan, for as long as the lease is ours: whatever is opened here is sent by nobody else."""
        done = self._open_groups == 0
        again = False
        while True:
            try:
                await self._sender.db.transact(store_plan, self._lease, self._plan, opened, done=done, again=again)
            except Exception as error:
                await _wait_or_raise(error)
                again = True
            else:
                _count(opened)
                failpoints.hit("after_plan")
                return

    def _group(self) -> tuple[list[Group], list[Outcome]]:
        """The jobs by account, and those whose account rests or is gone: they are deferred at once."""
        by_account: dict[UUID, list[Job]] = {}
        deferred: list[Outcome] = []
        for job in self._plan.jobs:
            job.account_id = self._sender.awake(job)
            rest = self._sender.rest(job.account_id)
            if rest > 0:
                deferred.append(Outcome(job, None, deferred=rest))
            else:
                by_account.setdefault(job.account_id, []).append(job)
        groups = []
        for account_id, jobs in by_account.items():
            account = self._sender.account(account_id)
            if account is None or not account.usable:
                deferred += [Outcome(job, None, deferred=STOPPED_SECONDS) for job in jobs]
            else:
                probing = self._sender.rests.probing(account_id)
                groups.append(Group(account, jobs, self._lease.chunk.lane, probing=probing))
        return groups, deferred

    async def _defer(self, outcomes: Sequence[Outcome]) -> None:
        await self._settle(outcomes, [], last=True)

    async def _send_group(self, group: Group, slice_: list[Job]) -> None:
        """Send one account's jobs, slice by slice."""
        try:
            if not slice_:
                if not await group.take_slots(None):
                    busy = [Outcome(job, None, deferred=BUSY_SECONDS) for job in group.waiting]
                    await self._settle(busy, [], last=True)
                    return
                if self._sender.draining:
                    self._handed_back = True
                    await self._settle([], [], last=True)
                    return
                slice_ = group.next_slice()
                await self._settle([], slice_, last=False)
            while slice_:
                outcomes = await self._send(group.account, slice_)
                self._sender.rests.note(group.account.id, [outcome.result for outcome in outcomes])
                slice_, more = self._next(group)
                await self._settle([*outcomes, *more], slice_, last=not slice_)
        except LeaseLost:
            log.warning("chunk %s: the lease is lost; stopped before the next slice", self._lease.chunk.id)
        finally:
            group.release()

    def _next(self, group: Group) -> tuple[list[Job], list[Outcome]]:
        """The next slice, or why there is none: nothing left, a pause of the account, or the process drains."""
        if self._lease.lost.is_set():
            raise LeaseLost
        if not group.waiting:
            return [], []
        if self._sender.draining:
            self._handed_back = True
            return [], []
        rest = self._sender.rest(group.account.id)
        if rest > 0:
            return [], [Outcome(job, None, deferred=rest) for job in group.waiting]
        return group.next_slice(), []

    async def _send(self, account: OpenAccount, slice_: Sequence[Job]) -> list[Outcome]:
        """Call the vendor for every job of the slice that is still of use."""
        now = datetime.now(UTC)
        stale = [job for job in slice_ if job.expires_at is not None and job.expires_at <= now]
        fresh = [job for job in slice_ if job not in stale] if stale else list(slice_)
        calls = [fresh[start : start + account.batch] for start in range(0, len(fresh), account.batch)]
        await self._still_ours()
        results = await asyncio.gather(*(self._call(account, call) for call in calls))
        failpoints.hit("after_send")
        outcomes = [outcome for result in results for outcome in result]
        return outcomes + [Outcome(job, None, expired=True) for job in stale]

    async def _still_ours(self) -> None:
        """Ask the database when the lease's time is up: the process may have been stopped between opening and sending."""
        while self._lease.overdue:
            try:
                async with self._sender.db.write() as conn:
                    await self._lease.guard(conn)
            except Unavailable as error:
                await _wait_or_raise(error)

    async def _call(self, account: OpenAccount, jobs: Sequence[Job]) -> list[Outcome]:
        async with self._sender.files.packed(account.id, jobs) as packed:
            started = time.perf_counter()
            results = await send_many(account, packed.messages) if packed.messages else []
        milliseconds = round((time.perf_counter() - started) * 1000)
        _hand_over(jobs, account.take_kept([job.message.id for job in jobs]))
        outcomes = [Outcome(job, failure) for job, failure in packed.failed]
        for job, result in zip(packed.jobs, results, strict=True):
            if isinstance(result, SendFailed) and result.ambiguous and account.provider.capabilities.lookup:
                result = await self._look_up(account, job, result)
            outcomes.append(Outcome(job, result, milliseconds))
        return outcomes

    async def _look_up(self, account: OpenAccount, job: Job, doubt: SendFailed) -> Receipt | SendFailed:
        """The vendor's own word on a message in doubt; the doubt stays when it cannot say."""
        try:
            async with asyncio.timeout(account.timeout_seconds):
                receipt = await account.provider.lookup(job.message.id, account.ctx)
        except Exception as error:
            log.warning("look-up failed: %s", type(error).__name__)
            return doubt
        return receipt or SendFailed("The vendor never saw the message.", code=doubt.code)

    async def _settle(self, outcomes: Sequence[Outcome], opened: Sequence[Job], *, last: bool) -> None:
        """Settle, for as long as the lease is ours; one after the other, so that exactly one ends the chunk."""
        async with self._settling:
            done = last and self._open_groups == 1 and not self._handed_back
            chunks = await self._insist(outcomes, opened, done)
            if last:
                self._open_groups -= 1
                if self._open_groups == 0 and self._handed_back:
                    await self.hand_back()
        if chunks:
            await self._sender.bell.ring_many([Hint(lane, id_, due) for lane, id_, due in chunks])

    async def hand_back(self) -> None:
        """Let anybody claim the rest of the chunk, and tell them."""
        await self._lease.hand_back()
        await self._sender.bell.ring(self._lease.chunk.lane, self._lease.chunk.id)

    async def _insist(
        self, outcomes: Sequence[Outcome], opened: Sequence[Job], done: bool
    ) -> list[tuple[str, UUID, datetime]]:
        """Settle until it is done or the fence refuses it: the outcomes are known here and nowhere else."""
        failpoints.hit("before_settle")
        again = False
        while True:
            try:
                chunks = await self._sender.db.transact(
                    settle, self._lease, outcomes, self._sender.rules, opened=opened, done=done, again=again
                )
            except Exception as error:
                await _wait_or_raise(error)
                again = True
            else:
                _count(opened)
                return chunks

    async def resolve_doubts(self) -> None:
        """Decide about the deliveries that a dead worker left between attempt and settlement.

        What may be sent again joins the plan's jobs; the rest is settled as unknown, or by the vendor's own word.
        """
        outcomes = []
        for job in self._plan.doubtful:
            doubt = SendFailed("The worker ended during the call.", ambiguous=True, code="crash")
            result: Receipt | SendFailed = doubt
            account = self._sender.account(job.account_id)
            if account is not None and account.usable and account.provider.capabilities.lookup:
                result = await self._look_up(account, job, doubt)
            if isinstance(result, SendFailed) and (not result.ambiguous or self._sender.may_repeat(job)):
                self._plan.jobs.append(job)
                self._plan.crashed.append(job)
            else:
                outcomes.append(Outcome(job, result))
        self._plan.doubtful = []
        if outcomes:
            await self._insist(outcomes, [], False)


async def _wait_or_raise(error: Exception) -> None:
    """Wait a moment when the database is only away or busy; any other error is raised again."""
    if not isinstance(error, Unavailable) and not is_contention(error):
        raise error
    await asyncio.sleep(SETTLE_PAUSE)


def _count(opened: Sequence[Job]) -> None:
    """Count the attempts that a committed transaction opened."""
    for job in opened:
        job.attempts += 1


def _hand_over(jobs: Sequence[Job], kept: Sequence[Kept]) -> None:
    """Give each kept message to the job it belongs to; `settle` stores it."""
    if kept:
        by_id = {job.message.id: job for job in jobs}
        for message in kept:
            by_id[message.message.id].kept.append(message)
