"""A worker and a caller at the same notification: exactly one of them decides, and the balance holds."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from uuid import UUID

from sqlalchemy import func, select

from portal.db import new_id
from portal.errors import Conflict, PreconditionFailed
from portal.ledger.counts import balance
from portal.ledger.models import Chunk, Notification, SandboxMessage
from portal.notifications.cancel import cancel
from portal.notifications.erase import erase
from portal.notifications.patch import patch
from portal.notifications.schemas import NotificationPatch
from tests.portal_peer import Client, PortalPeer, one

N = 40


async def send_all(shop: Client) -> list[UUID]:
    """Some in one chunk, some in chunks of their own."""
    body = [one(idempotency_key=str(new_id()), priority=random.choice(["high", "medium"])) for _ in range(N // 2)]
    sent = (await shop.ask("POST", "/notifications/bulk", body, status=202))["results"]
    singles = await asyncio.gather(*(shop.send() for _ in range(N // 2)))
    return [*(UUID(item["id"]) for item in sent), *singles]


async def test_cancelling_while_workers_deliver(portal: PortalPeer, shop: Client) -> None:
    ids = await send_all(shop)

    async def stop(id_: UUID) -> str:
        await asyncio.sleep(random.uniform(0, 0.2))
        try:
            return await random.choice([cancel, erase])(portal.db, shop.actor, id_) or "erased"
        except Conflict as error:
            return error.code

    outcomes, *_ = await asyncio.gather(
        asyncio.gather(*(stop(id_) for id_ in random.sample(ids, len(ids)))), portal.deliver(), portal.deliver()
    )
    assert set(outcomes) <= {"cancelled", "erased", "leased", "ended", "in_doubt", "sent"}
    await portal.deliver()
    async with portal.db.read() as conn:
        rows = (await conn.execute(select(Notification.id, Notification.status))).all()
        held = await balance(conn)
        kept = set((await conn.execute(select(SandboxMessage.notification_id))).scalars())
    statuses = Counter(row.status for row in rows)
    assert len(rows) == N
    assert set(statuses) <= {"sent", "cancelled"}
    assert (held.accepted, held.in_flight, held.difference) == (N, 0, 0), held
    assert {status: n for status, n in held.terminal.items() if n} == dict(statuses)
    assert not kept & {row.id for row in rows if row.status == "cancelled"}


async def test_changing_while_workers_deliver(portal: PortalPeer, shop: Client) -> None:
    ids = await send_all(shop)

    async def change(id_: UUID) -> str:
        await asyncio.sleep(random.uniform(0, 0.1))
        wanted = NotificationPatch(priority=random.choice(["high", "medium", "low"]), data={"code": "new"})
        try:
            await patch(
                portal.db, shop.actor, id_, wanted, revision=1, templates=portal.parts.templates, bell=portal.parts.bell
            )
        except (Conflict, PreconditionFailed) as error:
            return error.code
        return "changed"

    outcomes, *_ = await asyncio.gather(
        asyncio.gather(*(change(id_) for id_ in ids)), portal.deliver(), portal.deliver()
    )
    await portal.deliver()
    async with portal.db.read() as conn:
        held = await balance(conn)
        texts = {
            row.notification_id: row.message["parts"]["text"] for row in await conn.execute(select(SandboxMessage))
        }
        total = (await conn.execute(select(func.count()).select_from(SandboxMessage))).scalar_one()
        open_chunks = (await conn.execute(select(func.count()).where(Chunk.status != "done"))).scalar_one()
    assert (held.terminal["sent"], held.in_flight, held.difference) == (N, 0, 0), held
    assert total == N
    assert open_chunks == 0
    # A change that was confirmed is what was sent; one that was refused changed nothing.
    for id_, outcome in zip(ids, outcomes, strict=True):
        assert texts[id_] == ("Your code is new" if outcome == "changed" else "Your code is 123"), outcome


async def test_twice_the_same_change_at_once_is_made_once(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send()
    calls = [
        patch(
            portal.db, shop.actor, id_, NotificationPatch(priority=lane), revision=1,
            templates=portal.parts.templates, bell=portal.parts.bell,
        )
        for lane in ("high", "low", "high", "low")
    ]  # fmt: skip
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answer for answer in answers if answer is None] == [None]
    assert all(isinstance(answer, (PreconditionFailed, Conflict)) for answer in answers if answer is not None)
    assert (await shop.get(id_))["revision"] == 2
