"""The account page: passwords and sessions of oneself."""

from __future__ import annotations

import pytest

from portal.identity import create_user
from tests.web_peer import PASSWORD, WebPeer

pytestmark = pytest.mark.databases("sqlite")
NEW = "another good phrase 4"


async def test_the_present_password_is_needed_unless_one_came_by_link(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com", "admin", password=PASSWORD))
    token = await browser.token("/account")
    wrong = await browser.post("/account/password", {"present": "wrong", "password": NEW, "again": NEW}, token=token)
    assert wrong.status_code == 422
    assert "expected your present password" in wrong.text
    path = await create_user(web.db, "ada@example.com", [])
    by_link = web.browser()
    await by_link.post("/sign-in/link", {"token": path.partition("token=")[2]})
    token = await by_link.token("/account")
    assert (await by_link.post("/account/password", {"password": NEW, "again": NEW}, token=token)).status_code == 303
    answer = await web.browser().post("/sign-in", {"email": "ada@example.com", "password": NEW, "next": "/keys"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/keys")


async def test_a_session_renewed_after_a_link_needs_the_password_again(web: WebPeer) -> None:
    path = await create_user(web.db, "ada@example.com", ["admin"])
    browser = web.browser()
    await browser.post("/sign-in/link", {"token": path.partition("token=")[2]})
    form = {"password": NEW, "again": NEW}
    await browser.post("/account/password", form, token=await browser.token("/account"))
    answer = await browser.post("/account/password", form, token=await browser.token("/account"))
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("password", "again", "said"), [("short", "short", "expected 12"), (NEW, NEW + "x", "same password")]
)
async def test_what_is_wrong_with_a_new_password_is_said_and_nothing_is_shown(
    web: WebPeer, password: str, again: str, said: str
) -> None:
    browser = await web.signed_in(await web.user("ada@example.com", "admin"))
    answer = await browser.post(
        "/account/password", {"password": password, "again": again}, token=await browser.token("/account")
    )
    assert answer.status_code == 422
    assert said in answer.text
    assert f'value="{password}"' not in answer.text


async def test_ending_the_other_sessions_keeps_this_browser_signed_in(web: WebPeer) -> None:
    user = await web.user("ada@example.com", "viewer")
    here, there = await web.signed_in(user), await web.signed_in(user)
    assert (await here.post("/account/sessions/end", token=await here.token("/account"))).status_code == 303
    assert (await here.get("/account")).status_code == 200
    assert (await there.get("/account")).status_code == 303


async def test_each_page_is_for_those_who_may(web: WebPeer) -> None:
    allowed = {
        "viewer": set[str](), "designer": set[str](), "approver": set[str](), "operator": {"/audit"},
        "admin": {"/audit", "/users", "/keys", "/keys/new"},
    }  # fmt: skip
    for role, pages in allowed.items():
        browser = await web.signed_in(await web.user(f"{role}@example.com", role))
        got = {path for path in allowed["admin"] if (await browser.get(path)).status_code == 200}
        assert got == pages, role
