"""The data layer on each database: two doors and two workers at once, and whatever could come between them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from portal.access import PERMISSIONS, Actor
from portal.db import Database, db_now, new_id
from portal.delivery.claim import Lease, LeaseLost, claim
from portal.delivery.send import Run
from portal.delivery.settle import Outcome, settle, store_plan
from portal.delivery.stops import press, release
from portal.errors import Unavailable
from portal.ledger.models import Attempt, Chunk, Delivery, Notification
from portal.providers.create import create_account
from portal.providers.schemas import AccountCreate, RouteCreate
from portal.providers.set_route import add_route
from portal.sdk import Receipt
from tests.integration.delivery.world import World

OPERATOR = Actor(kind="user", id=new_id(), name="Ada", permissions=frozenset(PERMISSIONS))


async def test_two_doors_and_two_workers_end_each_notification_exactly_once(world: World) -> None:
    clients = await world.clients()
    for worker in world.workers:
        worker.start()
    # Every key is used at both doors at the same time.
    sends = [
        client.send(reference=f"r-{n}", priority=("high", "medium", "low")[n % 3])
        if n % 4 == 0
        else client.ask(
            "POST",
            "/notifications",
            {"template": "code", "to": {"channel": "sms", "address": "+14155550100"}, "data": {"code": str(n)}},
            status=202,
            idempotency_key=f"key-{n}",
        )
        for n in range(40)
        for client in clients
    ]
    answers = await asyncio.gather(*sends)
    await world.work_off()
    ids = {str(answer["id"]) if isinstance(answer, dict) else str(answer) for answer in answers}
    # 10 numbers without a key at two doors, 30 with one.
    assert len(ids) == 10 * 2 + 30
    await world.assert_settled(50)
    assert await world.counted() == {"sent": 50}
    assert await world.sent_twice() == []


async def test_the_balance_turns_red_when_one_row_is_gone(world: World) -> None:
    (client, _) = await world.clients()
    for n in range(5):
        await client.send(reference=str(n))
    async with world.db.read() as conn:
        chunks = list((await conn.execute(select(Chunk.id))).scalars())
    from portal.ledger.packing import unpack

    for chunk_id in chunks:
        await world.db.transact(unpack, chunk_id)
    assert (await world.balance()).difference == 0
    async with world.db.write() as conn:
        victim = (await conn.execute(select(Notification.id).limit(1))).scalar_one()
        await conn.execute(delete(Notification).where(Notification.id == victim))
    assert (await world.balance()).difference == 1


async def test_a_late_workers_settlement_is_refused_by_the_fence(world: World) -> None:
    (client, _) = await world.clients()
    await client.send()
    late, plan = await _opened(world)
    async with world.db.write() as conn:
        await conn.execute(update(Chunk).where(Chunk.id == late.chunk.id).values(lease_until=db_now(-1)))
    taken = await claim(world.db, late.chunk.id, owner="other", seconds=30)
    assert isinstance(taken, Lease)
    assert (taken.chunk.fence, taken.chunk.crashes) == (late.chunk.fence + 1, 1)
    before = await _picture(world)
    outcome = Outcome(plan.jobs[0], Receipt("vendor-1"), 5)
    with pytest.raises(LeaseLost):
        await world.db.transact(settle, late, [outcome], _rules(world), done=True)
    assert await _picture(world) == before
    assert late.lost.is_set()


async def test_a_settlement_whose_answer_was_lost_is_not_counted_twice(world: World) -> None:
    (client, _) = await world.clients()
    await client.send()
    lease, plan = await _opened(world)
    outcome = Outcome(plan.jobs[0], Receipt("vendor-1"), 5)
    await world.db.transact(settle, lease, [outcome], _rules(world), done=False)
    once = await world.balance()
    # The commit took place, its answer did not arrive: the sender tries again.
    await world.db.transact(settle, lease, [outcome], _rules(world), done=False, again=True)
    assert await world.balance() == once
    assert (once.difference, once.terminal["sent"]) == (0, 1)


async def test_a_plan_whose_answer_was_lost_is_not_written_twice(world: World) -> None:
    (client, _) = await world.clients()
    await client.send()
    lease, plan = await _opened(world)
    jobs = plan.jobs
    await world.db.transact(store_plan, lease, plan, jobs, done=False, again=True)
    assert await world.number(Attempt) == await world.number(Delivery) == 1


async def test_a_key_used_twice_in_one_flush_is_answered_only_after_the_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (client, _) = await world.clients()

    real = Database.transact

    async def lost(self: Database, verb: Any, *args: Any, **kwargs: Any) -> Any:
        async def and_fail(conn: Any) -> Any:
            await verb(conn, *args, **kwargs)
            raise Unavailable("The database went away before the commit.")

        return await real(self, and_fail)

    monkeypatch.setattr(Database, "transact", lost)
    body = {"template": "code", "to": {"channel": "sms", "address": "+14155550100"}, "data": {"code": "1"}}
    answers = await asyncio.gather(*(client.raw("POST", "/notifications", body, idempotency_key="k") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {503}
    monkeypatch.undo()
    assert await world.number(Chunk) == 0


@pytest.mark.parametrize("kind", ["everything", "lane", "application", "template", "account"])
async def test_a_stop_button_stops_sending_and_nothing_else(world: World, kind: str) -> None:
    (client, _) = await world.clients()
    account = world.doors[0].parts.accounts.route("sms", client.actor.application_id)[0]
    keys = {"everything": "*", "lane": "medium", "application": str(client.actor.application_id), "template": "code"}
    key = keys.get(kind, str(account))
    await press(world.db, OPERATOR, kind, key, "a test")
    await world.refresh()
    await client.send()  # accepting goes on
    for worker in (0, 1):
        await world.step(worker)
    assert await world.number(Attempt) == 0
    assert (await world.balance()).in_flight == 1
    await release(world.db, OPERATOR, kind, key)
    await world.refresh()
    # What was parked or deferred meanwhile looks again by itself; the test does not wait for it.
    async with world.db.write() as conn:
        await conn.execute(update(Chunk).where(Chunk.status == "ready").values(not_before=db_now()))
    await world.work_off()
    await world.assert_settled(1)


async def test_high_work_goes_first_and_no_claim_is_an_inversion(world: World) -> None:
    (client, _) = await world.clients()
    for n in range(12):
        await client.send(priority="low", reference=f"low-{n}")
    for n in range(6):
        await client.send(priority="high", reference=f"high-{n}")
    due = [lane for lane, _ in await world.workers[0].deliverer.due()]
    assert due == ["high"] * 6 + ["low"] * 12
    await world.work_off()
    async with world.db.read() as conn:
        columns = select(Notification.lane).join(Delivery, Delivery.notification_id == Notification.id)
        opened = columns.join(Attempt, Attempt.delivery_id == Delivery.id).order_by(Attempt.opened_at)
        lanes = list((await conn.execute(opened)).scalars())
    assert lanes.index("low") >= 1
    assert await world.inversions() == 0
    await world.assert_settled(18)


async def test_claims_rotate_over_the_applications_with_due_work(world: World) -> None:
    (busy, _) = await world.clients("busy")
    for n in range(12):
        await busy.send(reference=str(n))
    (quiet, _) = await world.clients("quiet")
    for n in range(2):
        await quiet.send(reference=str(n))
    deliverer = world.workers[0].deliverer
    await deliverer.refresh_turns()
    claimed = []
    for lane, chunk_id in (await deliverer.due())[:6]:
        picked = await deliverer._turns.pick(lane, chunk_id, [])
        lease = await claim(world.db, picked, owner="turns", seconds=30)
        if isinstance(lease, Lease):
            claimed.append(lease.chunk.application_id)
    # The quiet one's two chunks are the youngest, and yet among the first claims.
    assert Counter(claimed)[quiet.actor.application_id] == 2


async def test_a_hanging_vendor_delays_nobody_else_and_a_deferral_consumes_no_attempt(world: World) -> None:
    (stuck, _) = await world.clients("stuck")
    (other, _) = await world.clients("other")
    parts = world.doors[0].parts
    hanging = AccountCreate(
        key="hanging", channel="sms", provider="sandbox", settings={"latency_ms": 60_000}, concurrency=2,
        timeout_seconds=120,
    )  # fmt: skip
    account_id = await world.db.transact(create_account, OPERATOR, parts.registry, parts.keyring, hanging)
    step = RouteCreate(channel="sms", account_id=account_id, position=1, application_id=stuck.actor.application_id)
    await world.db.transact(add_route, OPERATOR, step)
    await world.refresh()
    for n in range(4):
        await stuck.send(reference=f"stuck-{n}")
    worker = world.workers[0]
    worker.start()
    await _until(lambda: world.number(Delivery, Delivery.account_id == account_id), lambda n: n == 4)
    sent = [await other.send(reference=f"other-{n}") for n in range(10)]
    await _until(lambda: world.number(Notification, Notification.status == "sent"), lambda n: n == len(sent))
    # Some are with the vendor that does not answer; those that got no slot wait for it without having used a try.
    await _until(lambda: world.number(Delivery, Delivery.status == "deferred"), lambda n: n >= 2)
    async with world.db.read() as conn:
        attempts = dict(
            (await conn.execute(select(Delivery.status, Delivery.attempts).where(Delivery.account_id == account_id)))
            .tuples()
            .all()
        )
    assert attempts["deferred"] == 0
    assert attempts["sending"] == 1
    worker.deliverer.begin_drain()
    for task in list(worker.deliverer._running):
        task.cancel()
    await worker.stop()
    # Cut short, not crashed: what was with the vendor is in doubt, and anybody may go on at once.
    assert await world.number(Chunk, Chunk.status == "leased") == 0
    assert await world.number(Chunk, Chunk.crashes > 0) == 0


async def _until(ask: Callable[[], Awaitable[int]], enough: Callable[[int], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not enough(await ask()):
            await asyncio.sleep(0.02)  # the database offers nothing to wait on


async def _opened(world: World) -> tuple[Lease, Any]:
    """The only chunk, claimed and planned, with its attempts open."""
    async with world.db.read() as conn:
        chunk_id = (await conn.execute(select(Chunk.id))).scalar_one()
    lease = await claim(world.db, chunk_id, owner="late", seconds=30)
    assert isinstance(lease, Lease)
    planner = world.workers[0].deliverer._planner
    async with world.db.read() as conn:
        plan = await planner.plan(conn, lease.chunk, stopped_templates=frozenset())
    run = Run(world.workers[0].deliverer._sender, lease, plan)
    run._open_groups = 1
    await run._store(plan.jobs)
    return lease, plan


def _rules(world: World) -> Any:
    return world.workers[0].deliverer._sender.rules


async def _picture(world: World) -> dict[str, Any]:
    """Everything that a settlement could change."""
    async with world.db.read() as conn:
        return {
            "chunks": (await conn.execute(select(Chunk.status, Chunk.fence, Chunk.lease_owner))).all(),
            "deliveries": (await conn.execute(select(Delivery.status, Delivery.attempts, Delivery.sent_at))).all(),
            "attempts": (await conn.execute(select(Attempt.closed_at, Attempt.result))).all(),
            "notifications": (await conn.execute(select(Notification.status))).all(),
        }
