"""The bulk door: items in order, bad ones reported, nothing half done, and the threshold of approval."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from portal.ledger.models import BulkWindow, Chunk, Idempotency
from portal.notifications import bulk
from portal.notifications.schemas import BulkOut
from portal.settings import Settings
from tests.portal_peer import PHONE, Client, PortalPeer, one

BULK = "/notifications/bulk"
NDJSON = "application/x-ndjson"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A threshold that a test reaches quickly."""
    return msgspec.structs.replace(settings, bulk_approval_threshold=5, max_bulk_items=50, max_body_bytes=4096)


def lines(items: Sequence[Any]) -> bytes:
    return b"\n".join(item if isinstance(item, bytes) else json.dumps(item).encode() for item in items)


async def stored(portal: PortalPeer) -> int:
    """How many notifications were accepted."""
    async with portal.db.read() as conn:
        return int((await conn.execute(select(func.coalesce(func.sum(Chunk.accepted), 0)))).scalar_one())


@pytest.mark.parametrize("form", ["array", "lines"])
async def test_items_are_answered_in_order_and_a_bad_one_stops_no_other(
    portal: PortalPeer, shop: Client, form: str
) -> None:
    items: list[Any] = [
        one(),
        one(template="nothing"),
        one(to={"channel": "sms", "address": "12"}),
        one(send_at="2026-13-01T00:00:00Z"),
        one(extra=1),
        one(data={}),
        17,
        one(data={"code": "\x00"}),
        one(idempotency_key=" a"),
        one(),
    ]
    if form == "array":
        answer = await shop.ask("POST", BULK, items, status=202)
    else:
        answer = await shop.ask("POST", BULK, lines([*items[:2], b"", *items[2:]]), status=202, content_type=NDJSON)
    assert (answer["accepted"], answer["rejected"]) == (2, 8)
    msgspec.convert(answer, BulkOut)
    results = answer["results"]
    assert [item["index"] for item in results] == list(range(10))
    fields = [[error["field"] for error in item["error"]["errors"]] for item in results if "error" in item]
    assert fields == [
        ["template"], ["to.address"], ["send_at"], ["extra"], ["data.code"], ["body"], ["body"], ["idempotency_key"],
    ]  # fmt: skip
    assert results[2]["line"] == (1 if form == "array" else 4)
    assert await stored(portal) == 2
    await portal.deliver()
    told = await shop.ask("GET", "/balance", status=200)
    assert (told["accepted"], told["terminal"]["sent"], told["difference"]) == (2, 2, 0)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"[]", 400),
        ("application/json", b"{}", 400),
        ("application/json", b'[{"a":1}', 400),
        ("application/json", b"[1] 2", 400),
        (NDJSON, b"\n \n", 400),
        ("text/csv", b"a,b", 415),
        (NDJSON, b'{"a":"' + b"x" * 5000 + b'"}', 413),
        (NDJSON, b"1\n" * 51, 413),
    ],
)
async def test_a_body_that_is_not_whole_or_too_large_stores_nothing(
    portal: PortalPeer, shop: Client, content_type: str, body: bytes, status: int
) -> None:
    good = json.dumps(one()).encode()
    given = body if body[:1] != b"[" or body == b"[]" else b"[" + good + b"," + body[1:]
    await shop.ask("POST", BULK, given, status=status, content_type=content_type)
    assert await stored(portal) == 0


async def test_an_item_with_a_key_is_accepted_once(portal: PortalPeer, shop: Client) -> None:
    items = [one(idempotency_key="a"), one(idempotency_key="b"), one(idempotency_key="a")]
    first = (await shop.ask("POST", BULK, items, status=202))["results"]
    assert first[0]["id"] == first[2]["id"] != first[1]["id"]
    assert [item.get("replayed", False) for item in first] == [False, False, True]
    second = (await shop.ask("POST", BULK, [*items, one(idempotency_key="b", priority="high")], status=202))["results"]
    assert [item.get("id") for item in second[:3]] == [item["id"] for item in first]
    assert second[3]["error"]["code"] == "idempotency_mismatch"
    assert await stored(portal) == 2
    # The key means the same at both doors.
    answer = await shop.raw("POST", "/notifications", one(), idempotency_key="a")
    assert (answer.json()["id"], answer.headers["idempotent-replayed"]) == (first[0]["id"], "true")


async def test_above_the_threshold_a_request_is_refused_before_anything_is_stored(
    portal: PortalPeer, shop: Client
) -> None:
    refused = await shop.ask("POST", BULK, [one() for _ in range(6)], status=403)
    assert refused["code"] == "approval_required"
    assert await stored(portal) == 0
    assert (await shop.ask("POST", BULK, [one() for _ in range(5)], status=202))["accepted"] == 5
    assert (await shop.ask("POST", BULK, [one()], status=403))["code"] == "approval_required"
    assert await stored(portal) == 5
    other = await portal.key("other")
    await other.ask("POST", BULK, [one()], status=202)


async def test_single_sends_replays_and_bulk_are_counted_together(portal: PortalPeer, shop: Client) -> None:
    for _ in range(4):
        await shop.send()
    await portal.framework.state.intake.close()
    refused = await shop.ask("POST", BULK, [one(), one()], status=403)
    assert "6 notifications" in refused["detail"]
    await shop.ask("POST", BULK, [one()], status=202)


async def test_a_request_that_is_sent_again_is_not_counted_twice(portal: PortalPeer, shop: Client) -> None:
    items = [one(idempotency_key=str(n)) for n in range(4)]
    for _ in range(3):
        assert (await shop.ask("POST", BULK, items, status=202))["accepted"] == 4
    async with portal.db.read() as conn:
        assert (await conn.execute(select(BulkWindow.n))).scalar_one() == 4
        assert (await conn.execute(select(func.count()).select_from(Idempotency))).scalar_one() == 4


async def test_bad_items_do_not_count(portal: PortalPeer, shop: Client) -> None:
    assert (await shop.ask("POST", BULK, [one(data={}) for _ in range(20)], status=202))["rejected"] == 20
    assert (await shop.ask("POST", BULK, [one() for _ in range(5)], status=202))["accepted"] == 5


async def test_an_approver_marks_a_category_transactional(portal: PortalPeer, shop: Client) -> None:
    designer = await portal.key("shop", ["templates:read", "templates:write", "notifications:send"])
    approver = await portal.key("shop", ["templates:read", "approve:write"])
    await designer.ask("POST", "/categories", {"key": "receipts", "name": "Receipts"}, status=201)
    await designer.ask("POST", "/categories", {"key": "receipts", "name": "Receipts"}, status=409)
    await designer.ask("PUT", "/categories/receipts", {"transactional": True}, status=403)
    await approver.ask("PUT", "/categories/receipts", {"name": "Others"}, status=403)
    await approver.ask("PUT", "/categories/nothing", {"transactional": True}, status=404)
    await portal.parts.revisions.poll()
    many = [one(category="receipts") for _ in range(9)]
    await shop.ask("POST", BULK, many, status=403)
    assert (await approver.ask("PUT", "/categories/receipts", {"transactional": True}, status=200))["transactional"]
    await portal.parts.revisions.poll()
    assert (await shop.ask("POST", BULK, many, status=202))["accepted"] == 9
    listed = await shop.ask("GET", "/categories", status=200)
    assert ["receipts", True] in [[item["key"], item["transactional"]] for item in listed["items"]]


async def test_a_test_key_needs_no_approval(portal: PortalPeer) -> None:
    tester = await portal.key("shop", mode="test")
    assert (await tester.ask("POST", BULK, [one() for _ in range(9)], status=202))["accepted"] == 9


async def test_a_client_that_goes_away_stores_nothing(portal: PortalPeer, shop: Client) -> None:
    good = json.dumps(one()).encode()
    pieces = [{"type": "http.request", "body": good + b"\n", "more_body": True}, {"type": "http.disconnect"}]
    answer = await portal.framework.state.bulk.answer(
        {b"authorization": f"Bearer {shop.token}".encode(), b"content-type": NDJSON.encode()}, _receive(pieces)
    )
    assert answer is None
    assert await stored(portal) == 0


@pytest.mark.databases("sqlite")
async def test_a_client_that_never_ends_does_not_keep_its_place(
    portal: PortalPeer, shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    monkeypatch.setattr(bulk, "BODY_SECONDS", 0.1)
    headers = {b"authorization": f"Bearer {shop.token}".encode(), b"content-type": b"application/json"}
    answer = await portal.framework.state.bulk.answer(headers, receive)
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "too_slow")
    assert portal.framework.state.bulk._working == 0


def _receive(messages: list[dict[str, Any]]) -> Any:
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    return receive


async def test_a_process_works_on_few_bulk_requests_at_once(portal: PortalPeer, shop: Client) -> None:
    body = lines([one(category=None) for _ in range(2)])
    asked = [shop.raw("POST", BULK, body, content_type=NDJSON) for _ in range(2)]
    door = portal.framework.state.bulk
    door._working = 2
    refused = await shop.raw("POST", BULK, body, content_type=NDJSON)
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "bulk_busy", "2")
    door._working = 0
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {202}


async def test_only_a_key_that_may_send_gets_in(portal: PortalPeer) -> None:
    reader = await portal.key("shop", ["notifications:read"])
    await reader.ask("POST", BULK, [one()], status=403)
    reader.http.headers["Authorization"] = "Bearer pp_live_nonsense"
    await reader.ask("POST", BULK, [one()], status=401)
    assert PHONE
