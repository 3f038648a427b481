"""Security row 2: sessions end by time, by sign-out and by disabling, at once and on the server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from portal.identity.users import disable_user
from portal.web.models import Session
from portal.web.sessions import ABSOLUTE, IDLE, drop_dead_sessions, find_session
from tests.web_peer import WebPeer

pytestmark = pytest.mark.databases("sqlite")


async def _set(web: WebPeer, **values: datetime) -> None:
    async with web.db.write() as conn:
        await conn.execute(update(Session).values(**values))


async def test_an_idle_session_is_dead(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com"))
    await _set(web, last_seen_at=datetime.now(UTC) - IDLE + timedelta(minutes=1))
    assert (await browser.get("/account")).status_code == 200
    await _set(web, last_seen_at=datetime.now(UTC) - IDLE - timedelta(seconds=1))
    assert (await browser.get("/account")).status_code == 303


async def test_use_keeps_a_session_alive_but_not_beyond_its_absolute_end(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com"))
    await _set(web, last_seen_at=datetime.now(UTC) - timedelta(hours=1))
    await browser.get("/account")
    async with web.db.read() as conn:
        row = (await conn.execute(select(Session.last_seen_at, Session.expires_at, Session.created_at))).one()
    assert datetime.now(UTC) - row.last_seen_at < timedelta(minutes=1)
    assert abs(row.expires_at - row.created_at - ABSOLUTE) < timedelta(seconds=2)
    await _set(web, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert (await browser.get("/account")).status_code == 303


async def test_signing_out_kills_the_session_on_the_server(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com"))
    stolen = browser.session
    assert stolen is not None
    assert (await browser.post("/sign-out", token=await browser.token("/account"))).status_code == 303
    assert browser.session is None
    assert await find_session(web.db, stolen) is None


async def test_a_disabled_user_is_out_at_once(web: WebPeer) -> None:
    admin, user = await web.user("root@example.com", "admin"), await web.user("ada@example.com", "admin")
    browser = await web.signed_in(user)
    await web.db.transact(disable_user, admin, user.id)
    assert (await browser.get("/account")).status_code == 303


async def test_dead_sessions_are_swept(web: WebPeer) -> None:
    await web.signed_in(await web.user("ada@example.com"))
    async with web.db.write() as conn:
        assert await drop_dead_sessions(conn) == 0
    await _set(web, last_seen_at=datetime.now(UTC) - IDLE - timedelta(seconds=1))
    async with web.db.write() as conn:
        assert await drop_dead_sessions(conn) == 1
