"""Settling: what came of the attempts, the next step of each failure, and the notifications that end by it.

Everything happens in one transaction that begins by locking the chunk's row with the lease's fence: a worker that was
too late changes nothing.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import bulk, new_id
from portal.delivery.claim import Lease, derived_chunk
from portal.delivery.job import Job
from portal.delivery.plan import Item, Plan
from portal.delivery.retry import Dead, Failover, Hold, Policy, Retry, next_step
from portal.ledger.counts import count_terminal
from portal.ledger.models import Attempt, Chunk, Delivery, Notification, SandboxMessage
from portal.ledger.packing import insert_members
from portal.ledger.statuses import DELIVERY_TERMINAL, LIVE, end_of
from portal.preferences.suppress import suppress
from portal.sdk import Receipt, SendFailed

PARKED_SECONDS = 15.0


class Outcome(NamedTuple):
    """What came of one job: a receipt, a failure, or no call at all: `deferred` by seconds, or `expired` before it."""

    job: Job
    result: Receipt | SendFailed | None
    milliseconds: int = 0
    deferred: float = 0.0
    expired: bool = False


class Step(NamedTuple):
    """A delivery that goes on in another chunk."""

    job: Job
    status: str
    seconds: float
    account_id: UUID
    alone: bool


class Rules(NamedTuple):
    """What settling needs to know of the world: routes, doubt policies, retry policy."""

    route: Any
    may_repeat: Any
    policy: Policy


async def store_plan(
    conn: AsyncConnection, lease: Lease, plan: Plan, opened: Sequence[Job], *, done: bool, again: bool = False
) -> None:
    """Write what was planned, open the attempts of the first sends, and end the chunk when nothing is left (`done`).

    Plans that came from rows update them; packed members become rows here, with the status they have reached. `again`
    says that an earlier try may have been committed, though its answer was lost: then nothing is written twice.
    """
    await lease.guard(conn, members=None, **({"status": "done", "lease_until": None} if done else {}))
    if again and (await _are_open(conn, opened) or await _are_planned(conn, plan.items)):
        return
    now = datetime.now(UTC)
    await _park(conn, lease, plan.parked)
    await _store_notifications(conn, plan.items)
    sending = {job.id for job in opened}
    new = [_planned_delivery(job, lease.chunk.id, now, job.id in sending) for job in plan.jobs if not job.stored]
    await bulk.update(conn, Attempt, ["delivery_id", "n"], [_crashed(job, now) for job in plan.crashed])
    await bulk.insert(conn, Delivery, new + [_ended_insert(row) for row in plan.ended if row["new"]])
    await bulk.update(conn, Delivery, ["id"], [_ended_update(row) for row in plan.ended if not row["new"]])
    await count_terminal(conn, lease.chunk.lane, Counter(i.row["status"] for i in plan.items if i.row["settled_at"]))
    ended_before = {row["notification_id"] for row in plan.ended if not row["new"]}
    await _end_notifications(conn, lease, ended_before, now)
    await bulk.insert(conn, Attempt, [_opened(job, now) for job in opened])
    await bulk.update(conn, Delivery, ["id"], [_sending(job, now) for job in opened if job.stored])


async def open_attempts(conn: AsyncConnection, jobs: Sequence[Job], now: datetime) -> None:
    """Record that these jobs are about to be handed to their accounts.

    The jobs themselves are counted on by the caller, after the commit: a transaction may be repeated.
    """
    if not jobs:
        return
    await bulk.insert(conn, Attempt, [_opened(job, now) for job in jobs])
    await bulk.update(conn, Delivery, ["id"], [_sending(job, now) for job in jobs])


async def settle(
    conn: AsyncConnection,
    lease: Lease,
    outcomes: Sequence[Outcome],
    rules: Rules,
    *,
    opened: Sequence[Job] = (),
    done: bool,
    again: bool = False,
) -> list[tuple[str, UUID, datetime]]:
    """Record the outcomes, open the attempts of the next sends, end the chunk when nothing is left (`done`).

    Returns the chunks (lane, id, due) that were made for retries and deferrals: ring them after the commit. `again` as
    in `store_plan`.
    """
    await (lease.finish(conn) if done else lease.guard(conn))
    if again and (await _are_open(conn, opened) or await _have_left(conn, lease, outcomes)):
        return []
    now = datetime.now(UTC)
    attempts, deliveries, steps, barred, ended = [], [], [], [], []
    for outcome in outcomes:
        if outcome.result is not None or outcome.expired:
            attempts.append(_closed(outcome, now))
        row, step = _judge(outcome, rules, now)
        deliveries.append(row)
        if step is not None:
            steps.append(step)
        elif row["status"] in DELIVERY_TERMINAL:
            ended.append((outcome.job, row["status"], row["reason"]))
        if isinstance(outcome.result, SendFailed) and outcome.result.suppress:
            barred.append((outcome.job.channel, outcome.job.address, outcome.result.reason))
    chunks = _next_chunks(lease, steps, now)
    await bulk.update(conn, Attempt, ["delivery_id", "n"], attempts)
    moved = {step.job.id: chunk["id"] for chunk, members in chunks for step in members}
    await bulk.update(conn, Delivery, ["id"], [row | {"chunk_id": moved.get(row["id"])} for row in deliveries])
    await bulk.insert(conn, Chunk, [chunk for chunk, _ in chunks])
    await suppress(conn, barred)
    await _keep(conn, [outcome.job for outcome in outcomes])
    await _end_of_single(conn, lease, [end for end in ended if end[0].siblings == 1], now)
    await _end_notifications(conn, lease, {job.notification_id for job, _, _ in ended if job.siblings > 1}, now)
    await open_attempts(conn, opened, now)
    return [(chunk["lane"], chunk["id"], chunk["not_before"]) for chunk, _ in chunks]


async def _are_open(conn: AsyncConnection, opened: Sequence[Job]) -> bool:
    """Whether the attempts that are to be opened are there already."""
    if not opened:
        return False
    first = opened[0]
    mine = select(Attempt.n).where(Attempt.delivery_id == first.id, Attempt.n == first.attempts + 1)
    return (await conn.execute(mine)).first() is not None


async def _are_planned(conn: AsyncConnection, items: Sequence[Item]) -> bool:
    """Whether the plan's first notification has been planned already."""
    if not items:
        return False
    status = (await conn.execute(select(Notification.status).where(Notification.id == items[0].row["id"]))).scalar()
    return status is not None and status not in ("accepted", "scheduled", "held")


async def _have_left(conn: AsyncConnection, lease: Lease, outcomes: Sequence[Outcome]) -> bool:
    """Whether the outcomes' deliveries have left the chunk, as every settled one does."""
    if not outcomes:
        return False
    chunk_id = await conn.execute(select(Delivery.chunk_id).where(Delivery.id == outcomes[0].job.id))
    return bool(chunk_id.scalar_one() != lease.chunk.id)


def _judge(outcome: Outcome, rules: Rules, now: datetime) -> tuple[dict[str, Any], Step | None]:
    """The delivery's new row values, and where it goes on if it does."""
    job, result = outcome.job, outcome.result
    row: dict[str, Any] = {
        "id": job.id,
        "status": "sent",
        "reason": None,
        "detail": None,
        "vendor_id": None,
        "account_id": job.account_id,
        "tried": job.tried or None,
        "sent_at": None,
        "updated_at": now,
    }
    if outcome.expired:
        row["status"], row["reason"] = "expired", "expired"
        return row, None
    if result is None:
        row["status"] = "deferred"
        return row, Step(job, "deferred", outcome.deferred, job.account_id, True)
    if isinstance(result, Receipt):
        row["sent_at"] = now
        row["vendor_id"] = result.vendor_id[:200] if result.vendor_id else None
        return row, None
    row["detail"] = result.reason[:500]
    step = next_step(
        result,
        account=str(job.account_id),
        attempt=job.attempts,
        route=[str(account) for account in rules.route(job)],
        refused=job.refused,
        failed=job.failed,
        may_repeat=rules.may_repeat(job),
        policy=rules.policy,
    )
    return _follow(row, job, result, step, now)


def _follow(
    row: dict[str, Any], job: Job, failure: SendFailed, step: Retry | Failover | Hold | Dead, now: datetime
) -> tuple[dict[str, Any], Step | None]:
    match step:
        case Dead(reason):
            row["status"], row["reason"] = "dead", reason
            return row, None
        case Hold():
            row["status"] = "unknown"
            return row, None
        case Failover(account):
            row["tried"] = [*job.tried, f"!{job.account_id}" if failure.permanent else str(job.account_id)]
            seconds = 0.0
        case Retry(seconds, account):
            refused = [f"!{other}" for other in job.refused]
            row["tried"] = [*refused, f"!{job.account_id}"] if failure.permanent else refused or None
    if job.expires_at is not None and now + timedelta(seconds=seconds) >= job.expires_at:
        row["status"], row["reason"] = "expired", "expired"
        return row, None
    row["status"] = "queued"
    row["account_id"] = UUID(account)
    return row, Step(job, "queued", seconds, UUID(account), False)


def _next_chunks(lease: Lease, steps: Sequence[Step], now: datetime) -> list[tuple[dict[str, Any], list[Step]]]:
    """Chunks for what goes on: one per due moment, and one per account for deferrals.

    Waits are rounded up, to a quarter of a second when short and a second when long, so that retries travel together.
    """
    groups: dict[tuple[float, UUID | None], list[Step]] = defaultdict(list)
    for step in steps:
        grain = 0.25 if step.seconds < 5 else 1.0
        wait = math.ceil(step.seconds / grain) * grain
        groups[wait, step.account_id if step.alone else None].append(step)
    chunks = []
    for (wait, account_id), members in groups.items():
        values = {"account_id": account_id, "size": len(members), "not_before": now + timedelta(seconds=wait)}
        chunks.append((derived_chunk(lease.chunk, **values), members))
    return chunks


async def _end_of_single(
    conn: AsyncConnection, lease: Lease, ended: Sequence[tuple[Job, str, str | None]], now: datetime
) -> None:
    """Notifications whose only delivery ended: its end is theirs."""
    rows = []
    for job, status, reason in ended:
        final = "failed" if status == "dead" else status
        rows.append({"id": job.notification_id, "status": final, "reason": reason, "settled_at": now})
    await bulk.update(conn, Notification, ["id"], rows)
    await count_terminal(conn, lease.chunk.lane, Counter(str(row["status"]) for row in rows))


async def _end_notifications(conn: AsyncConnection, lease: Lease, ids: Iterable[UUID], now: datetime) -> None:
    """End those of the notifications whose deliveries have all ended.

    Their rows are locked first, in order: the deliveries may be settled by different workers at the same time, and
    the last one must see what the others wrote.
    """
    ids = sorted(set(ids))
    if not ids:
        return
    locked = select(Notification.id).where(Notification.id.in_(ids), Notification.status.in_(LIVE))
    live = set((await conn.execute(locked.order_by(Notification.id).with_for_update())).scalars())
    statuses: dict[UUID, list[tuple[str, str | None]]] = defaultdict(list)
    found = select(Delivery.notification_id, Delivery.status, Delivery.reason).where(Delivery.notification_id.in_(ids))
    for notification_id, status, reason in await conn.execute(found):
        statuses[notification_id].append((status, reason))
    rows = []
    for notification_id in sorted(live):
        end = end_of(statuses[notification_id])
        if end is not None:
            rows.append({"id": notification_id, "status": end[0], "reason": end[1], "settled_at": now})
    await bulk.update(conn, Notification, ["id"], rows)
    await count_terminal(conn, lease.chunk.lane, Counter(str(row["status"]) for row in rows))


async def _store_notifications(conn: AsyncConnection, items: Sequence[Item]) -> None:
    packed = [item for item in items if item.member is not None]
    members = [item.member for item in packed if item.member is not None]
    await insert_members(conn, members, [item.row for item in packed])
    rows = [
        {name: item.row[name] for name in ("id", "status", "reason", "person_id", "settled_at")}
        for item in items
        if item.member is None
    ]
    await bulk.update(conn, Notification, ["id"], rows)


async def _park(conn: AsyncConnection, lease: Lease, items: Sequence[Item]) -> None:
    """Put notifications of a stopped template into a chunk of their own that looks again later."""
    if not items:
        return
    due = datetime.now(UTC) + timedelta(seconds=PARKED_SECONDS)
    chunk = derived_chunk(lease.chunk, kind="plan", size=len(items), not_before=due)
    await bulk.insert(conn, Chunk, [chunk])
    packed = [item for item in items if item.member is not None]
    for item in items:
        item.row["chunk_id"] = chunk["id"]
    await insert_members(conn, [item.member for item in packed if item.member], [item.row for item in packed])
    rows = [{"id": item.row["id"], "chunk_id": chunk["id"]} for item in items if item.member is None]
    await bulk.update(conn, Notification, ["id"], rows)


async def _keep(conn: AsyncConnection, jobs: Sequence[Job]) -> None:
    """Store what the sandbox accounts handed over."""
    rows = [
        {
            "id": new_id(),
            "delivery_id": job.id,
            "notification_id": job.notification_id,
            "application_id": job.application_id,
            "reference": job.reference,
            "channel": job.channel,
            "address": job.address,
            "message": {"parts": kept.message.parts, "headers": kept.message.headers, "locale": kept.message.locale},
            "created_at": kept.at,
        }
        for job in jobs
        for kept in job.kept
    ]
    await bulk.insert(conn, SandboxMessage, rows)


def _sending(job: Job, now: datetime) -> dict[str, Any]:
    row = {"id": job.id, "status": "sending", "attempts": job.attempts + 1, "account_id": job.account_id}
    return row | {"updated_at": now}


def _planned_delivery(job: Job, chunk_id: UUID, now: datetime, sending: bool) -> dict[str, Any]:
    return {
        "id": job.id,
        "notification_id": job.notification_id,
        "chunk_id": chunk_id,
        "channel": job.channel,
        "address": job.address,
        "account_id": job.account_id,
        "status": "sending" if sending else "queued",
        "reason": None,
        "detail": None,
        "attempts": 1 if sending else 0,
        "created_at": now,
        "updated_at": now,
    }


def _ended_insert(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "notification_id": row["notification_id"],
        "chunk_id": None,
        "channel": row["channel"],
        "address": row["address"],
        "account_id": None,
        "status": row["status"],
        "reason": row["reason"],
        "detail": row["detail"],
        "attempts": 0,
        "created_at": row["at"],
        "updated_at": row["at"],
    }


def _ended_update(row: dict[str, Any]) -> dict[str, Any]:
    values = {name: row[name] for name in ("id", "status", "reason", "detail")}
    return values | {"chunk_id": None, "updated_at": row["at"]}


def _opened(job: Job, now: datetime) -> dict[str, Any]:
    return {"delivery_id": job.id, "n": job.attempts + 1, "account_id": job.account_id, "opened_at": now}


def _crashed(job: Job, now: datetime) -> dict[str, Any]:
    """The end of an attempt whose worker died during the call."""
    row = {"delivery_id": job.id, "n": job.attempts, "closed_at": now, "result": "ambiguous", "code": "crash"}
    return row | {"detail": "The worker ended during the call."}


def _closed(outcome: Outcome, now: datetime) -> dict[str, Any]:
    result = outcome.result
    failure = result if isinstance(result, SendFailed) else None
    return {
        "delivery_id": outcome.job.id,
        "n": outcome.job.attempts,
        "closed_at": now,
        "result": attempt_result(result),
        "code": failure.code[:60] if failure and failure.code else None,
        "detail": (failure.reason if failure else getattr(result, "detail", None) or "")[:500] or None,
        "milliseconds": outcome.milliseconds,
    }


def attempt_result(result: Receipt | SendFailed | None) -> str:
    """The class of an attempt as it is stored; None: its turn came too late and nothing was called."""
    if isinstance(result, Receipt):
        return "sent"
    if result is None:
        return "expired"
    if result.ambiguous:
        return "ambiguous"
    if result.permanent:
        return "permanent"
    return "throttled" if result.retry_after is not None else "transient"
