"""Two doors, one behaviour: the fast door and the framework's handler answer, store and limit alike."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portal.ledger.models import Chunk, Idempotency
from portal.ledger.packing import decode_members
from tests.portal_peer import Client, PortalPeer, one

pytestmark = pytest.mark.databases("sqlite")

# `connection` is between two hops: whether a server goes on reading a body that is too large is not part of the answer.
VOLATILE = {b"x-request-id", b"date", b"connection"}
Message = dict[str, Any]


class Heard:
    """What a client hears from an ASGI application."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name: value for name, value in message["headers"] if name not in VOLATILE}
        else:
            self.body += message.get("body", b"")


async def ask(app: Any, headers: list[tuple[bytes, bytes]], messages: list[Message]) -> Heard:
    """Send these messages to the application, as a server does."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/api/v1/notifications", "raw_path": b"/api/v1/notifications", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000"), *headers], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
        "state": {}, "extensions": {},
    }  # fmt: skip
    waiting = iter(messages)
    heard = Heard()

    async def receive() -> Message:
        message = next(waiting, None)
        if message is None:
            # A server says nothing more until the client goes.
            await asyncio.Event().wait()
        assert message is not None
        return message

    await app(scope, receive, heard)
    return heard


def pieces(body: bytes, cuts: list[int]) -> list[Message]:
    """The body in as many messages as it is cut into."""
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    parts = [body[start:end] for start, end in pairwise(edges)]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = False
    return messages


async def rows(portal: PortalPeer) -> list[Any]:
    """What is stored, without ids and times."""
    found: list[Any] = []
    async with portal.db.read() as conn:
        for chunk in await conn.execute(select(*Chunk.__table__.columns).order_by(Chunk.id)):
            members = decode_members(chunk.members)
            packed = [
                (
                    m.template,
                    m.category,
                    m.mode,
                    m.due - m.created if m.due == m.created else m.due,
                    m.reference,
                    m.content,
                )
                for m in members
            ]
            found.append((chunk.lane, chunk.application_id, chunk.size, chunk.accepted, packed))
        keys = (Idempotency.application_id, Idempotency.fingerprint)
        found += [tuple(row) for row in await conn.execute(select(*keys).order_by(Idempotency.created_at))]
    return found


async def forget(portal: PortalPeer) -> None:
    async with portal.db.write() as conn:
        await conn.execute(Chunk.__table__.delete())
        await conn.execute(Idempotency.__table__.delete())


def alike(body: bytes) -> Any:
    """An answer's body without the ids that differ by nature."""
    told = json.loads(body)
    for name in ("id", "request_id"):
        told.pop(name, None)
    return told


FIELDS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "template": st.sampled_from(["code", "nothing", "", 7]),
        "to": st.sampled_from(
            [{}, {"person_id": str(uuid4())}, {"channel": "sms"}, {"channel": "sms", "address": "12"}, 5]
        ),
        "data": st.sampled_from([{}, {"code": "9"}, {"code": "\u00e9\u4e2d"}, {"code": "\x00"}, {"code": 2**70}, []]),
        "priority": st.sampled_from(["high", "low", "urgent", None]),
        "send_at": st.sampled_from(["2020-01-01T00:00:00Z", "soon", "2020-01-01T00:00:00", None]),
        "ttl_seconds": st.sampled_from([5, 0, "5"]),
        "reference": st.sampled_from(["r", "a\nb", ""]),
        "metadata": st.sampled_from([{}, {"a": "b"}, {"": "x"}, {"a": 1}]),
        "attachments": st.sampled_from([[], [str(uuid4())], ["x"]]),
        "unknown": st.none(),
    },
)
BODIES = st.one_of(
    FIELDS.map(lambda fields: json.dumps(one(**fields)).encode()),
    st.binary(max_size=40),
    st.sampled_from([b"", b"{", b"[]", b"null", b'{"a":"\xff"}', b'{"a":"\\ud800"}', b"{" * 100_000, b" " * 300_000]),
)
KEYS = st.sampled_from([None, b"k-1", b"", b"x" * 256, b"\xe9", b" k"])
AUTHORIZATIONS = st.sampled_from(["good", "none", "wrong", "not ascii", "basic", "reader"])


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(BODIES, KEYS, AUTHORIZATIONS, st.lists(st.integers(0, 10_000), max_size=3), st.booleans())
async def test_both_doors_answer_and_store_alike(
    portal: PortalPeer, shop: Client, reader: Client, body: bytes, key: bytes | None, who: str, cuts: list[int], announced: bool
) -> None:  # fmt: skip
    headers = _headers(shop, reader, who, key)
    if announced:
        headers.append((b"content-length", b"%d" % len(body)))
    outcomes = []
    for app in (portal.app, portal.slow):
        await forget(portal)
        heard = await ask(app, headers, pieces(body, cuts))
        limit = int(heard.headers.pop(b"ratelimit-remaining", b"0"))
        outcomes.append((heard.status, alike(heard.body), set(heard.headers.items()), await rows(portal), limit))
    fast, slow = outcomes
    # Lengths differ where request ids are in the body; sizes are compared without them.
    assert _without_length(fast[:4]) == _without_length(slow[:4])
    # A second is more than the bucket needs to fill; it never fills by more than its burst.
    assert (fast[4] > 0) == (slow[4] > 0)


def _without_length(outcome: tuple[Any, ...]) -> tuple[Any, ...]:
    status, body, headers, stored = outcome
    return status, body, {pair for pair in headers if pair[0] != b"content-length"}, stored


def _headers(shop: Client, reader: Client, who: str, key: bytes | None) -> list[tuple[bytes, bytes]]:
    authorizations = {
        "good": [f"Bearer {shop.token}".encode()],
        "none": [],
        "wrong": [b"Bearer pp_live_nonsense"],
        "not ascii": [b"Bearer \xff"],
        "basic": [b"Basic YTpi"],
        "reader": [f"Bearer {reader.token}".encode()],
    }
    headers = [(b"authorization", value) for value in authorizations[who]]
    return headers if key is None else [*headers, (b"idempotency-key", key)]


@pytest.fixture
async def reader(portal: PortalPeer) -> Client:
    """A key that may not send."""
    return await portal.key("shop", ["notifications:read"])


@pytest.mark.parametrize("door", ["fast", "slow"])
async def test_a_body_that_breaks_off_stores_nothing_at_either_door(
    portal: PortalPeer, shop: Client, door: str
) -> None:
    whole = json.dumps(one()).encode()
    messages = [{"type": "http.request", "body": whole, "more_body": True}, {"type": "http.disconnect"}]
    headers = [(b"authorization", f"Bearer {shop.token}".encode())]
    heard = await ask(portal.app if door == "fast" else portal.slow, headers, messages)
    assert heard.status in (0, 400)
    assert await rows(portal) == []


@pytest.mark.parametrize("door", ["fast", "slow"])
async def test_either_door_takes_one_token_per_request(portal: PortalPeer, shop: Client, door: str) -> None:
    intake = portal.framework.state.intake
    taken: list[str] = []
    take = intake._limiter.take

    def counted(name: str, rate: float, burst: int) -> Any:
        taken.append(name)
        return take(name, rate, burst)

    intake._limiter.take = counted
    headers = [(b"authorization", f"Bearer {shop.token}".encode())]
    for body in (json.dumps(one()).encode(), b"{"):
        await ask(portal.app if door == "fast" else portal.slow, headers, pieces(body, []))
    assert taken == [f"application:{shop.actor.application_id}"] * 2


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_only_a_post_to_the_exact_path_uses_the_fast_door(portal: PortalPeer, shop: Client, method: str) -> None:
    called: list[str] = []
    intake = portal.framework.state.intake
    answer = intake.answer

    async def noted(headers: Any, body: bytes) -> Any:
        called.append("answered")
        return await answer(headers, body)

    intake.answer = noted
    await shop.raw(method, "/notifications")
    await shop.raw("POST", "/notifications/", one())
    await shop.raw("POST", "/notification", one())
    slash = len(called)
    await shop.raw("POST", "/notifications?x=1", one())
    assert len(called) == slash + 1
