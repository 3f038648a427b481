"""page(): whole pages and fragments, flashes, errors for people."""

from __future__ import annotations

import pytest

from tests.web_peer import WebPeer

pytestmark = pytest.mark.databases("sqlite")
FRAGMENT = {"hx_request": "true", "hx_request_type": "partial", "hx_target": "div#results"}


async def test_htmx_gets_the_block_and_everybody_else_the_page(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com", "admin"))
    whole = await browser.get("/users?q=ada")
    assert whole.text.startswith("<!doctype html>")
    part = await browser.get("/users?q=ada", **FRAGMENT)
    assert part.text.strip().startswith('<div id="results">')
    assert "ada@example.com" in part.text
    for headers in (
        {**FRAGMENT, "hx_request_type": "full"},
        {**FRAGMENT, "hx_history_restore_request": "true"},
        {**FRAGMENT, "hx_boosted": "true"},
    ):
        assert (await browser.get("/users", **headers)).text.startswith("<!doctype html>")


async def test_a_block_is_guarded_like_its_page(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("bob@example.com", "viewer"))
    assert (await browser.get("/users", **FRAGMENT)).status_code == 403


async def test_an_error_of_a_fragment_goes_to_the_flash_area(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("bob@example.com", "admin"))
    answer = await browser.get("/audit?cursor=nonsense", **FRAGMENT)
    assert answer.status_code == 400
    assert answer.headers["hx-retarget"] == "#flash"
    assert "<html" not in answer.text
    assert "cursor" in answer.text


async def test_somebody_who_is_not_signed_in_is_led_to_the_door_and_back(web: WebPeer) -> None:
    browser = web.browser()
    assert (await browser.get("/audit?actor=x")).headers["location"] == "/sign-in?next=/audit%3Factor%3Dx"
    assert (await browser.get("/audit", **FRAGMENT)).headers["hx-redirect"] == "/sign-in"
    page = await browser.get("/sign-in?next=//evil.example")
    assert 'name="next" value="/"' in page.text


async def test_a_flash_is_shown_once(web: WebPeer) -> None:
    admin = await web.user("ada@example.com", "admin")
    browser = await web.signed_in(admin)
    key_id, _ = await web.key("notifications:send")
    answer = await browser.post(f"/keys/{key_id}/revoke", token=await browser.token("/account"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/keys")
    assert "The key is revoked" in (await browser.get("/keys")).text
    assert "The key is revoked" not in (await browser.get("/keys")).text


async def test_the_menu_has_only_pages_that_exist_here(web: WebPeer) -> None:
    text = (await (await web.signed_in(await web.user("ada@example.com", "admin"))).get("/keys")).text
    assert 'href="/keys" aria-current="page"' in text
    assert 'href="/notifications"' not in text


async def test_the_appearance_follows_the_cookie_if_it_is_one_of_three(web: WebPeer) -> None:
    browser = web.browser()
    assert 'data-theme="auto"' in (await browser.get("/sign-in")).text
    browser.http.cookies.set("portal-theme", "dark", domain="127.0.0.1")
    assert 'data-theme="dark"' in (await browser.get("/sign-in")).text
    browser.http.cookies.set("portal-theme", 'x"onload=', domain="127.0.0.1")
    assert 'data-theme="auto"' in (await browser.get("/sign-in")).text


async def test_a_banner_stands_on_every_page(web: WebPeer) -> None:
    web.framework.state.banners = lambda: ["Everything is stopped: <fire>"]
    text = (await (await web.signed_in(await web.user("ada@example.com", "admin"))).get("/account")).text
    assert "Everything is stopped: &lt;fire&gt;" in text


async def test_an_invitation_shows_the_link_and_wrong_input_stays_in_the_form(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com", "admin"))
    token = await browser.token("/account")
    answer = await browser.post(
        "/users", {"email": "new@example.com", "name": "<b>N</b>", "roles": ["viewer"]}, token=token
    )
    assert f"{web.settings.base_url}/sign-in/link?token=" in answer.text
    assert "&lt;b&gt;N" in answer.text
    again = await browser.post("/users", {"email": "new@example.com", "roles": ["admin"]}, token=token)
    assert again.status_code == 409
    wrong = await browser.post("/users", {"email": "no address", "name": "Keep me", "roles": ["viewer"]}, token=token)
    assert wrong.status_code == 422
    assert 'value="Keep me"' in wrong.text
    assert 'aria-invalid="true"' in wrong.text
    assert "expected an e-mail address" in wrong.text
