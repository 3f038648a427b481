"""Security row 26: scopes hold, and a revoked or expired key is refused within a second by every process."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from portal.access import ApiKey, KeyCache, create_key, revoke_key
from portal.access.applications import ensure_application
from portal.db import Database, Revisions
from portal.errors import Unavailable
from tests.web_peer import WebPeer


async def _process(db: Database) -> tuple[KeyCache, Revisions]:
    revisions = Revisions(db)
    cache = KeyCache(db, revisions)
    await revisions.start()
    return cache, revisions


async def test_a_revoked_key_is_refused_by_every_process_within_a_second(db: Database) -> None:
    processes = [await _process(db) for _ in range(3)]
    try:
        async with db.write() as conn:
            application = await ensure_application(conn, "shop")
            key_id, key = await create_key(conn, application, "k", "live", ["notifications:send"])
        assert all([await cache.look_up(key) for cache, _ in processes])
        async with db.write() as conn:
            await revoke_key(conn, key_id)
        revoked_at = time.monotonic()
        for cache, _ in processes:
            while cache.find(key) is not None:
                assert time.monotonic() - revoked_at < 1.0
                await asyncio.sleep(0.01)
        assert [await cache.look_up(key) for cache, _ in processes] == [None] * 3
    finally:
        for _, revisions in processes:
            await revisions.stop()


@pytest.mark.databases("sqlite")
async def test_a_new_key_works_at_once_in_a_process_that_has_not_polled(db: Database) -> None:
    revisions = Revisions(db)
    cache = KeyCache(db, revisions)
    await revisions.poll()
    async with db.write() as conn:
        _, key = await create_key(conn, await ensure_application(conn, "shop"), "k", "live", ["notifications:send"])
    assert cache.find(key) is None
    found = await asyncio.gather(*(cache.look_up(key) for _ in range(50)))
    assert all(found)


@pytest.mark.databases("sqlite")
async def test_unknown_keys_are_asked_for_once_and_then_remembered(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.access import key_cache

    asked: list[int] = []
    real = key_cache.keys_by_digest

    async def counting(conn, digests):  # type: ignore[no-untyped-def]
        asked.append(len(list(digests)))
        return await real(conn, digests)

    monkeypatch.setattr(key_cache, "keys_by_digest", counting)
    revisions = Revisions(db)
    cache = KeyCache(db, revisions)
    await revisions.poll()
    assert await asyncio.gather(*(cache.look_up(f"pp_live_{n % 5}") for n in range(500))) == [None] * 500
    assert len(asked) <= 2
    assert await cache.look_up("pp_live_1") is None
    assert len(asked) <= 2
    assert await cache.look_up("not a key of ours") is None
    assert len(asked) <= 2


@pytest.mark.databases("sqlite")
async def test_an_expired_key_is_refused(web: WebPeer) -> None:
    key_id, key = await web.key("notifications:read")
    browser = web.browser()
    assert (await browser.get("/api/v1/whoami", authorization=f"Bearer {key}")).status_code == 200
    async with web.db.write() as conn:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await conn.execute(update(ApiKey).where(ApiKey.id == key_id).values(expires_at=past))
    await web.keys.load()
    assert (await browser.get("/api/v1/whoami", authorization=f"Bearer {key}")).status_code == 401


@pytest.mark.databases("sqlite")
async def test_a_key_does_only_what_its_scopes_say(web: WebPeer) -> None:
    _, key = await web.key("notifications:read")
    caller = web.browser()
    assert (await caller.get("/api/v1/whoami", authorization=f"Bearer {key}")).json()["kind"] == "key"
    answer = await caller.http.post("/api/v1/things", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 403
    assert "notifications:send" in answer.json()["detail"]


@pytest.mark.databases("sqlite")
async def test_a_key_cannot_use_pages_of_people(web: WebPeer) -> None:
    _, key = await web.key("notifications:read", "users:write")
    assert (await web.browser(authorization=f"Bearer {key}").get("/account")).status_code == 403


@pytest.mark.databases("sqlite")
async def test_nobody_makes_a_key_that_may_do_more_than_they(web: WebPeer) -> None:
    from portal.access import Actor
    from portal.errors import InvalidInput
    from portal.identity.issue_keys import issue_key

    actor = Actor(kind="user", id=(await web.user("x@example.com")).id, name="x", permissions=frozenset({"keys:write"}))
    with pytest.raises(InvalidInput, match="users:write"):
        await web.db.transact(issue_key, actor, application="a", name="n", mode="live", scopes=["users:write"])


@pytest.mark.databases("sqlite")
async def test_a_process_that_cannot_read_revocations_refuses_keys(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, revisions = await _process(db)
    await revisions.stop()
    monkeypatch.setattr(revisions, "_polled_at", time.monotonic() - 1.1)
    with pytest.raises(Unavailable):
        cache.find("pp_live_x")
