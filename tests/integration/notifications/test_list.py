"""Lists: filters, paging, what is still packed, and who sees what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from portal.ledger.models import Chunk, Notification
from tests.portal_peer import PHONE, Client, PortalPeer

MAIL = {
    "key": "mail",
    "name": "Mail",
    "category": "orders",
    "parts": {"email": {"en": {"subject": "Hello", "text": "Hello {{ code }}"}}},
    "publish": True,
}


async def ids(client: Client, query: str = "") -> list[UUID]:
    """The ids on the first page."""
    found = await client.ask("GET", f"/notifications?{query}", status=200)
    return [UUID(item["id"]) for item in found["items"]]


async def test_what_was_accepted_a_moment_ago_is_in_the_list(shop: Client) -> None:
    sent = [await shop.send(reference=str(n)) for n in range(3)]
    assert await ids(shop) == list(reversed(sent))


async def test_pages_follow_each_other_without_gap_or_double(portal: PortalPeer, shop: Client) -> None:
    body = [
        {"template": "code", "to": {"channel": "sms", "address": PHONE}, "data": {"code": str(n)}} for n in range(7)
    ]
    sent = [UUID(item["id"]) for item in (await shop.ask("POST", "/notifications/bulk", body, status=202))["results"]]
    seen: list[UUID] = []
    cursor = ""
    while True:
        found = await shop.ask("GET", f"/notifications?limit=3&cursor={cursor}", status=200)
        seen += [UUID(item["id"]) for item in found["items"]]
        cursor = found["next"]
        # What arrives meanwhile stands before the first page.
        await shop.send()
        if not cursor:
            break
    assert seen == list(reversed(sent))


async def test_each_filter_narrows_the_list(portal: PortalPeer, shop: Client) -> None:
    await shop.ask("POST", "/templates", MAIL, status=201)
    await portal.parts.revisions.poll()
    person = await shop.ask("POST", "/people", {"name": "Ada"}, status=201)
    group = await shop.ask("POST", "/groups", {"key": "ops", "name": "Ops"}, status=201)
    await shop.ask("POST", f"/groups/{group['id']}/members", {"person_ids": [person["id"]]}, status=200)
    await shop.ask("POST", f"/people/{person['id']}/addresses", {"channel": "sms", "value": "+14155550123"}, status=201)
    to_ada = await shop.send(to={"person_id": person["id"]}, priority="high")
    mail = await shop.send(
        template="mail", to={"channel": "email", "address": "a@example.com"}, metadata={"order": "7"}
    )
    await portal.deliver()
    later = await shop.send(send_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat(), reference="r 1")
    everything = [later, mail, to_ada]
    application = str(shop.actor.application_id)
    found = {
        "": everything,
        "priority=high": [to_ada],
        "status=scheduled": [later],
        "status=sent": [mail, to_ada],
        "channel=email": [mail],
        "template=mail": [mail],
        "category=orders": [mail],
        "metadata.order=7": [mail],
        "metadata.order=8": [],
        "metadata.order=7&metadata.other=1": [],
        "reference=r%201": [later],
        f"person={person['id']}": [to_ada],
        "group=ops": [to_ada],
        f"group={group['id']}": [to_ada],
        "group=nobody": [],
        f"application={application}": everything,
        "application=shop": everything,
        "application=other": [],
        f"created_from={quote((datetime.now(UTC) - timedelta(minutes=5)).isoformat())}": everything,
        f"created_from={quote((datetime.now(UTC) + timedelta(minutes=5)).isoformat())}": [],
        f"created_to={quote((datetime.now(UTC) - timedelta(minutes=5)).isoformat())}": [],
        "status=sent&priority=high&template=code": [to_ada],
    }
    assert {query: await ids(shop, query) for query in found} == found


@pytest.mark.parametrize(
    "query",
    [
        "created_from=yesterday",
        "created_from=2026-01-01T00:00:00",
        "status=lost",
        "priority=urgent",
        "person=ada",
        "limit=0",
        "limit=501",
        "cursor=x",
        "metadata.a=1&metadata.a=2",
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(shop: Client, query: str) -> None:
    answer = await shop.raw("GET", f"/notifications?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


async def test_the_instants_of_a_range_are_exact(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send()
    at = datetime.fromisoformat((await shop.get(id_))["created_at"])
    just_after = quote((at + timedelta(microseconds=1)).isoformat())
    assert await ids(shop, f"created_from={quote(at.isoformat())}&created_to={just_after}") == [id_]
    assert await ids(shop, f"created_from={just_after}") == []
    assert await ids(shop, f"created_to={quote(at.isoformat())}") == []


async def test_another_applications_notifications_do_not_exist(portal: PortalPeer, shop: Client) -> None:
    """Row 24 of the security matrix covers the verbs as well; here: packed and unpacked, lists and filters."""
    stranger = await portal.key("stranger")
    packed = await shop.send(reference="mine")
    assert (await stranger.ask("GET", f"/notifications/{packed}", status=404))["code"] == "not_found"
    assert await ids(stranger) == []
    async with portal.db.read() as conn:
        assert (await conn.execute(select(Chunk.id).where(Chunk.members.is_not(None)))).first() is not None
    await ids(shop)
    for path in (f"/notifications/{packed}", f"/notifications/{uuid4()}"):
        await stranger.ask("GET", path, status=404)
    assert await ids(stranger, "reference=mine") == await ids(stranger, "application=shop") == []
    await portal.deliver()
    assert (await stranger.ask("GET", "/sandbox/messages?reference=mine", status=200))["items"] == []


async def test_a_test_key_sees_what_test_keys_sent(portal: PortalPeer, shop: Client) -> None:
    tester = await portal.key("shop", mode="test")
    live, tried = await shop.send(), await tester.send()
    await tester.ask("GET", f"/notifications/{live}", status=404)
    assert (await tester.get(tried))["mode"] == "test"
    assert await ids(tester) == [tried]
    assert set(await ids(shop)) == {live, tried}
    await tester.ask("GET", f"/notifications/{live}", status=404)


async def test_sandbox_messages_come_in_pages_too(portal: PortalPeer, shop: Client) -> None:
    for n in range(3):
        await shop.send(reference="r", data={"code": str(n)})
    await portal.deliver()
    seen: list[Any] = []
    cursor = ""
    for _ in range(2):
        page = await shop.ask("GET", f"/sandbox/messages?reference=r&channel=sms&limit=2&cursor={cursor}", status=200)
        seen += page["items"]
        cursor = page["next"]
    assert cursor == ""
    assert sorted(item["message"]["parts"]["text"][-1] for item in seen) == ["0", "1", "2"]


async def test_a_list_does_not_touch_what_a_worker_has(portal: PortalPeer, shop: Client) -> None:
    await shop.send()
    async with portal.db.write() as conn:
        await conn.execute(update(Chunk).values(status="leased"))
    assert await ids(shop) == []
    async with portal.db.read() as conn:
        assert (await conn.execute(select(Notification.id))).first() is None
