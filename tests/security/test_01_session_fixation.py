"""Security row 1: an identifier that somebody else chose never becomes a session."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from portal.web.models import Session
from portal.web.sessions import find_session
from tests.web_peer import PASSWORD, WebPeer

pytestmark = pytest.mark.databases("sqlite")
INVENTED = "attacker-chosen-identifier-0123456789abcdef"


async def test_an_invented_identifier_is_dead_after_sign_in(web: WebPeer) -> None:
    await web.user("ada@example.com", "admin", password=PASSWORD)
    victim = web.browser()
    victim.put_session(INVENTED)
    answer = await victim.post("/sign-in", {"email": "ada@example.com", "password": PASSWORD})
    assert answer.status_code == 303
    assert victim.session not in (None, INVENTED)
    attacker = web.browser()
    attacker.put_session(INVENTED)
    assert (await attacker.get("/account")).headers["location"].startswith("/sign-in")
    assert await find_session(web.db, INVENTED) is None


async def test_visiting_with_an_invented_identifier_creates_nothing(web: WebPeer) -> None:
    visitor = web.browser()
    visitor.put_session(INVENTED)
    answer = await visitor.get("/sign-in")
    assert "portal=; " in answer.headers["set-cookie"]
    async with web.db.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(Session))).scalar_one() == 0


async def test_signing_in_again_ends_the_session_before(web: WebPeer) -> None:
    user = await web.user("ada@example.com", "admin", password=PASSWORD)
    browser = await web.signed_in(user)
    before = browser.session
    token = await browser.token("/account")
    await browser.post("/sign-in", {"email": "ada@example.com", "password": PASSWORD}, token=token)
    assert browser.session != before
    assert before is not None
    assert await find_session(web.db, before) is None


async def test_a_change_of_roles_ends_the_sessions_that_began_before(web: WebPeer) -> None:
    admin, other = await web.user("ada@example.com", "admin"), await web.user("bob@example.com", "viewer")
    theirs, mine = await web.signed_in(other), await web.signed_in(admin)
    token = await mine.token("/account")
    answer = await mine.post(f"/users/{other.id}/roles", {"roles": ["operator"]}, token=token)
    assert answer.status_code == 303
    assert (await theirs.get("/account")).status_code == 303
    assert (await mine.get("/account")).status_code == 200


async def test_setting_a_password_renews_this_session_and_ends_the_others(web: WebPeer) -> None:
    user = await web.user("ada@example.com", "admin", password=PASSWORD)
    here, there = await web.signed_in(user), await web.signed_in(user)
    before = here.session
    form = {"present": PASSWORD, "password": "another good phrase 4", "again": "another good phrase 4"}
    answer = await here.post("/account/password", form, token=await here.token("/account"))
    assert answer.status_code == 303, answer.text
    assert here.session != before
    assert (await here.get("/account")).status_code == 200
    assert (await there.get("/account")).status_code == 303


async def test_the_table_holds_no_identifier(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com"))
    async with web.db.read() as conn:
        row = (await conn.execute(select(Session.id_hash))).one()
    assert browser.session is not None
    assert browser.session not in row.id_hash
