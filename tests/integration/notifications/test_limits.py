"""Limits and outages at the doors: 429 with when to come back, 503 instead of a false 202."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import func, select, update

from portal.access import Application
from portal.db import bump
from portal.errors import Unavailable
from portal.ledger.models import Chunk, Idempotency
from portal.settings import Settings
from tests.portal_peer import Client, PortalPeer, one


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A small waiting room."""
    return msgspec.structs.replace(settings, accept_waiting=5)


async def stored(portal: PortalPeer) -> int:
    async with portal.db.read() as conn:
        return int((await conn.execute(select(func.coalesce(func.sum(Chunk.accepted), 0)))).scalar_one())


async def test_above_its_rate_an_application_hears_when_to_come_back(portal: PortalPeer, shop: Client) -> None:
    async with portal.db.write() as conn:
        await conn.execute(update(Application).where(Application.key == "shop").values(rate_per_second=0.5))
        await bump(conn, "keys")
    await portal.parts.revisions.poll()
    first = await shop.raw("POST", "/notifications", one())
    assert (first.status_code, first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == (
        202,
        "1",
        "0",
    )
    for path, body in (("/notifications", one()), ("/notifications/bulk", [one()])):
        refused = await shop.raw("POST", path, body)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert await stored(portal) == 1


@pytest.mark.databases("sqlite")
async def test_a_full_waiting_room_refuses_and_loses_nobody(portal: PortalPeer, shop: Client) -> None:
    # Somebody else writes: the first flush waits, and with it everybody.
    async with portal.db.write():
        asked = [asyncio.create_task(shop.raw("POST", "/notifications", one())) for _ in range(20)]
        refused = [task for task in asked if (await _done_or_none(task)) is not None]
    answers = await asyncio.gather(*asked)
    codes = [answer.status_code for answer in answers]
    assert codes.count(429) == len(refused) > 0
    assert codes.count(202) == 20 - len(refused) == await stored(portal)
    full = next(answer for answer in answers if answer.status_code == 429)
    assert (full.json()["code"], full.headers["retry-after"]) == ("waiting_room_full", "1")


async def _done_or_none(task: asyncio.Task[Any]) -> Any:
    done, _ = await asyncio.wait({task}, timeout=0.2)
    return task.result() if done else None


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("path", ["/notifications", "/notifications/bulk"])
async def test_without_the_database_nothing_is_promised(
    portal: PortalPeer, shop: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acceptor = portal.framework.state.acceptor

    async def away(*_: Any) -> None:
        raise Unavailable("The database does not answer now; try again shortly.")

    monkeypatch.setattr(acceptor, "_insert", away)
    body = one() if path == "/notifications" else [one(), one()]
    answer = await shop.raw("POST", path, body)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert await stored(portal) == 0


async def test_the_same_key_at_once_is_one_notification(portal: PortalPeer, shop: Client) -> None:
    answers = await asyncio.gather(*(shop.raw("POST", "/notifications", one(), idempotency_key="k") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({UUID(answer.json()["id"]) for answer in answers}) == 1
    other = await shop.raw("POST", "/notifications", one(data={"code": "other"}), idempotency_key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    async with portal.db.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(Idempotency))).scalar_one() == 1
    assert await stored(portal) == 1
    # Another application's key is another key.
    stranger = await portal.key("stranger")
    again = await stranger.raw("POST", "/notifications", one(data={"code": "other"}), idempotency_key="k")
    assert again.status_code == 202
