"""A notification's life as the API shows it: sent, read, changed, cancelled, erased, replayed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from portal.audit.models import AuditEntry
from portal.db import new_id
from portal.errors import Conflict
from portal.ledger.counts import balance
from portal.ledger.models import Chunk, Delivery, Notification, NotificationContent, SandboxMessage
from portal.notifications.cancel import cancel
from portal.notifications.erase import erase
from portal.notifications.replay import replay
from tests.portal_peer import PHONE, Client, PortalPeer

LATER = "2099-01-01T00:00:00Z"


def soon(hours: float = 1) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


async def in_balance(portal: PortalPeer) -> dict[str, int]:
    """The terminal counts and what is in flight; the balance must hold."""
    async with portal.db.read() as conn:
        found = await balance(conn)
    assert found.difference == 0, found
    return {status: n for status, n in found.terminal.items() if n} | {"in_flight": found.in_flight}


async def test_a_notification_is_read_while_it_lies_packed(shop: Client) -> None:
    id_ = await shop.send(reference="order 7", metadata={"order": "7"})
    answer = await shop.raw("GET", f"/notifications/{id_}")
    found = answer.json()
    assert answer.headers["etag"] == '"1"'
    assert (found["status"], found["reference"], found["metadata"]) == ("accepted", "order 7", {"order": "7"})
    assert found["content"]["to"] == {"channel": "sms", "address": PHONE}
    assert (found["deliveries"], found["events"]) == ([], [])


async def test_a_delivered_notification_shows_its_attempts_and_what_the_sandbox_got(
    portal: PortalPeer, shop: Client
) -> None:
    id_ = await shop.send(reference="r1")
    await portal.deliver()
    found = await shop.get(id_)
    (delivery,) = found["deliveries"]
    (attempt,) = delivery["attempts"]
    assert (found["status"], delivery["status"], attempt["result"]) == ("sent", "sent", "sent")
    listed = await shop.ask("GET", "/sandbox/messages?reference=r1", status=200)
    assert [item["message"]["parts"] for item in listed["items"]] == [{"text": "Your code is 123"}]
    assert listed["items"][0]["notification_id"] == str(id_)
    told = await shop.ask("GET", "/balance", status=200)
    assert (told["accepted"], told["terminal"]["sent"], told["in_flight"], told["difference"]) == (1, 1, 0, 0)


async def test_a_skip_says_why_in_a_sentence(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send(to={"person_id": str(new_id())})
    await portal.deliver()
    found = await shop.get(id_)
    assert (found["status"], found["reason"]) == ("skipped", "unknown_person")
    assert found["reason_text"] == "Nobody is known under this id."


async def test_an_address_is_masked_for_who_may_not_see_people(portal: PortalPeer) -> None:
    narrow = await portal.key("narrow", ["notifications:send", "notifications:read"])
    id_ = await narrow.send()
    await portal.deliver()
    found = await narrow.get(id_)
    assert PHONE not in str(found)
    assert found["deliveries"][0]["address"] == found["content"]["to"]["address"] != ""


@pytest.mark.parametrize("send_at", [None, "later"])
async def test_cancelling_ends_it_once_and_for_all(portal: PortalPeer, shop: Client, send_at: str | None) -> None:
    id_ = await shop.send(**({"send_at": soon()} if send_at else {}))
    assert (await shop.ask("POST", f"/notifications/{id_}/cancel", status=200))["status"] == "cancelled"
    assert (await shop.ask("POST", f"/notifications/{id_}/cancel", status=200))["status"] == "cancelled"
    await portal.deliver()
    found = await shop.get(id_)
    assert (found["status"], found["reason"], found["deliveries"]) == ("cancelled", "cancelled", [])
    assert await in_balance(portal) == {"cancelled": 1, "in_flight": 0}
    async with portal.db.read() as conn:
        chunks = (await conn.execute(select(Chunk.status, Chunk.size))).all()
    assert [tuple(chunk) for chunk in chunks] == [("done", 0)]


async def test_what_a_worker_has_is_not_cancelled_changed_or_erased(portal: PortalPeer, shop: Client) -> None:
    packed = await shop.send()
    unpacked = await shop.send()
    await shop.ask("GET", "/notifications", status=200)
    async with portal.db.write() as conn:
        await conn.execute(update(Chunk).values(status="leased"))
    for id_ in (packed, unpacked):
        assert (await shop.ask("POST", f"/notifications/{id_}/cancel", status=409))["code"] == "leased"
        assert (await shop.ask("DELETE", f"/notifications/{id_}", status=409))["code"] == "leased"
        change = {"priority": "high"}
        assert (await shop.ask("PATCH", f"/notifications/{id_}", change, status=409, if_match='"1"'))[
            "code"
        ] == "leased"


async def test_one_member_of_a_chunk_is_cancelled_and_the_others_go_on(portal: PortalPeer, shop: Client) -> None:
    body = [
        {"template": "code", "to": {"channel": "sms", "address": PHONE}, "data": {"code": str(n)}} for n in range(3)
    ]
    sent = await shop.ask("POST", "/notifications/bulk", body, status=202)
    ids = [item["id"] for item in sent["results"]]
    await shop.ask("POST", f"/notifications/{ids[1]}/cancel", status=200)
    await portal.deliver()
    assert [(await shop.get(UUID(id_)))["status"] for id_ in ids] == ["sent", "cancelled", "sent"]
    assert await in_balance(portal) == {"sent": 2, "cancelled": 1, "in_flight": 0}


async def test_cancelling_reaches_a_delivery_that_waits_for_a_retry(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send()
    await portal.deliver()
    chunk = await _as_if_waiting_for_a_retry(portal, id_)
    assert (await shop.ask("POST", f"/notifications/{id_}/cancel", status=200))["status"] == "cancelled"
    found = await shop.get(id_)
    assert (found["deliveries"][0]["status"], found["deliveries"][0]["reason"]) == ("cancelled", "cancelled")
    async with portal.db.read() as conn:
        assert (await conn.execute(select(Chunk.status).where(Chunk.id == chunk))).scalar_one() == "done"


async def _as_if_waiting_for_a_retry(portal: PortalPeer, id_: UUID) -> UUID:
    """Put a sent notification back to where a failed attempt leaves it."""
    chunk = new_id()
    async with portal.db.write() as conn:
        row = (await conn.execute(select(*Notification.__table__.columns).where(Notification.id == id_))).one()
        due = datetime.now(UTC) + timedelta(hours=1)
        values = {"id": chunk, "kind": "send", "lane": row.lane, "application_id": row.application_id, "size": 1}
        await conn.execute(Chunk.__table__.insert().values(**values, not_before=due, counted=True))
        await conn.execute(update(Delivery).values(status="queued", chunk_id=chunk))
        await conn.execute(update(Notification).values(status="planned", settled_at=None))
    return chunk


async def test_what_is_in_doubt_is_not_cancelled(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send()
    await portal.deliver()
    await _as_if_waiting_for_a_retry(portal, id_)
    async with portal.db.write() as conn:
        await conn.execute(update(Delivery).values(status="unknown", chunk_id=None))
    assert (await shop.ask("POST", f"/notifications/{id_}/cancel", status=409))["code"] == "in_doubt"


async def test_what_was_sent_cannot_be_cancelled(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send()
    await portal.deliver()
    assert (await shop.ask("POST", f"/notifications/{id_}/cancel", status=409))["code"] == "ended"


async def test_a_change_moves_it_to_a_chunk_of_its_own(portal: PortalPeer, shop: Client) -> None:
    first, second = [
        UUID(item["id"])
        for item in (await shop.ask("POST", "/notifications/bulk", [_item("1"), _item("2")], status=202))["results"]
    ]
    change: dict[str, Any] = {"send_at": soon(), "priority": "high", "data": {"code": "9"}}
    answer = await shop.raw("PATCH", f"/notifications/{first}", change, if_match='"1"')
    found = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert (found["status"], found["priority"], found["content"]["data"]) == ("scheduled", "high", {"code": "9"})
    assert await in_balance(portal) == {"in_flight": 2}
    await portal.deliver()
    assert (await shop.get(second))["status"] == "sent"
    await shop.ask("PATCH", f"/notifications/{first}", {"send_at": None}, status=200, if_match='"2"')
    await portal.deliver()
    assert (await shop.get(first))["status"] == "sent"
    assert await in_balance(portal) == {"sent": 2, "in_flight": 0}
    texts = (await shop.ask("GET", f"/sandbox/messages?notification_id={first}", status=200))["items"]
    assert [item["message"]["parts"]["text"] for item in texts] == ["Your code is 9"]


def _item(code: str) -> dict[str, Any]:
    return {"template": "code", "to": {"channel": "sms", "address": PHONE}, "data": {"code": code}}


async def test_a_change_says_which_revision_it_saw(shop: Client) -> None:
    id_ = await shop.send(send_at=soon(2))
    path = f"/notifications/{id_}"
    assert "If-Match" in await shop.problems("PATCH", path, {"priority": "low"})
    await shop.ask("PATCH", path, {"priority": "low"}, status=412, if_match='"7"')
    await shop.ask("PATCH", path, {"priority": "low"}, status=200, if_match='"1"')
    await shop.ask("PATCH", path, {"priority": "low"}, status=412, if_match='"1"')
    await shop.ask("POST", f"{path}/cancel", status=412, if_match='"1"')


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"data": {"cod": "1"}}, "data.code"),
        ({"send_at": "2020-01-01T00:00:00"}, "send_at"),
        ({"send_at": LATER}, "send_at"),
        ({"priority": "urgent"}, "priority"),
        ({"prioriti": "low"}, "prioriti"),
    ],
)
async def test_a_change_is_checked_as_a_new_request_is(shop: Client, change: dict[str, Any], field: str) -> None:
    id_ = await shop.send(send_at=soon(2))
    answer = await shop.raw("PATCH", f"/notifications/{id_}", change, if_match='"1"')
    assert answer.status_code == 400
    assert field in answer.text
    assert (await shop.get(id_))["revision"] == 1


async def test_a_change_keeps_it_within_its_life(shop: Client) -> None:
    id_ = await shop.send(send_at=soon(2), ttl_seconds=60)
    problems = await shop.raw("PATCH", f"/notifications/{id_}", {"send_at": soon(3)}, if_match='"1"')
    assert "before the notification expires" in problems.text


async def test_what_belongs_to_a_batch_is_sent_as_it_was_approved(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send(send_at=soon())
    await shop.ask("GET", "/notifications", status=200)
    async with portal.db.write() as conn:
        await conn.execute(update(Notification).values(batch_id=new_id()))
    change = {"data": {"code": "other"}}
    assert (await shop.ask("PATCH", f"/notifications/{id_}", change, status=409, if_match='"1"'))["code"] == "sealed"


async def test_erasing_leaves_the_record_and_nothing_of_what_it_said(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send(data={"code": "very secret"})
    await portal.deliver()
    await shop.ask("DELETE", f"/notifications/{id_}", status=204)
    await shop.ask("DELETE", f"/notifications/{id_}", status=204)
    found = await shop.get(id_)
    assert (found["status"], found["content"]) == ("sent", None)
    assert "very secret" not in str(found)
    assert PHONE not in str(found)
    async with portal.db.read() as conn:
        for table in (NotificationContent, SandboxMessage):
            assert (await conn.execute(select(func.count()).select_from(table))).scalar_one() == 0
        actions = list((await conn.execute(select(AuditEntry.action))).scalars())
    assert actions.count("notification.erase") == 1


async def test_erasing_a_waiting_one_cancels_it_first(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send(send_at=soon())
    await shop.ask("DELETE", f"/notifications/{id_}", status=204)
    found = await shop.get(id_)
    assert (found["status"], found["content"]) == ("cancelled", None)
    assert await in_balance(portal) == {"cancelled": 1, "in_flight": 0}


async def test_a_replay_is_a_new_notification_that_knows_the_old_one(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send(metadata={"order": "7"}, reference="r", ttl_seconds=600)
    path = f"/notifications/{id_}/replay"
    assert (await shop.ask("POST", path, status=409))["code"] == "not_ended"
    await portal.deliver()
    assert (await shop.ask("POST", path, status=202))["status"] == "accepted"
    refused = await shop.ask("POST", path, status=409)
    assert refused["code"] == "replayed"
    again = UUID((await shop.ask("POST", path, {"again": True}, status=202))["id"])
    await portal.deliver()
    found = await shop.get(again)
    assert (found["status"], found["replay_of"], found["metadata"]) == ("sent", str(id_), {"order": "7"})
    assert await in_balance(portal) == {"sent": 3, "in_flight": 0}


async def test_what_was_erased_cannot_be_replayed(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send()
    await portal.deliver()
    await shop.ask("DELETE", f"/notifications/{id_}", status=204)
    assert (await shop.ask("POST", f"/notifications/{id_}/replay", status=409))["code"] == "erased"


async def test_two_replays_at_once_make_one(portal: PortalPeer, shop: Client) -> None:
    import asyncio

    id_ = await shop.send()
    await portal.deliver()
    asked = [replay(portal.db, shop.actor, id_, bell=portal.parts.bell) for _ in range(6)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert len([answer for answer in answers if isinstance(answer, UUID)]) == 1
    assert all(isinstance(answer, (UUID, Conflict)) for answer in answers)


async def test_what_a_person_does_is_in_the_audit(portal: PortalPeer, shop: Client) -> None:
    ada = portal.user()
    first, second = await shop.send(), await shop.send()
    await cancel(portal.db, ada, first)
    await cancel(portal.db, shop.actor, second)
    await replay(portal.db, ada, first, bell=portal.parts.bell)
    await erase(portal.db, ada, first)
    async with portal.db.read() as conn:
        entries = (await conn.execute(select(AuditEntry.action, AuditEntry.actor_name, AuditEntry.target))).all()
    mine = [tuple(entry) for entry in entries if entry.action.startswith("notification.")]
    assert sorted(mine) == [
        ("notification.cancel", "Ada", f"notification/{first}"),
        ("notification.erase", "Ada", f"notification/{first}"),
        ("notification.replay", "Ada", f"notification/{first}"),
    ]
