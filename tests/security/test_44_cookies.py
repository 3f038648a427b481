"""Security row 44: every cookie is protected as far as the browser can."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from portal.db import Database
from portal.settings import Settings
from tests.web_peer import PASSWORD, WebPeer, open_web

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
async def secure(db: Database, settings: Settings) -> AsyncIterator[WebPeer]:
    async with open_web(db, settings, public_url="https://portal.example") as peer:
        yield peer


def _cookies(answer) -> dict[str, set[str]]:  # type: ignore[no-untyped-def]
    found = {}
    for line in answer.headers.get_list("set-cookie"):
        pair, *flags = [part.strip() for part in line.split(";")]
        found[pair.partition("=")[0]] = set(flags)
    return found


async def _all_cookies(web: WebPeer) -> dict[str, set[str]]:
    """Every Set-Cookie of a visit, a sign-in, a sentence for the next page and a sign-out."""
    await web.user("ada@example.com", "admin", password=PASSWORD)
    browser, found = web.browser(), {}
    found |= _cookies(await browser.get("/sign-in"))
    found |= _cookies(await browser.post("/sign-in", {"email": "ada@example.com", "password": PASSWORD}))
    found |= _cookies(await browser.post("/sign-out", token=await browser.token("/account")))
    return found


async def test_under_https_every_cookie_is_host_bound_and_secure(secure: WebPeer) -> None:
    found = await _all_cookies(secure)
    assert set(found) == {"__Host-portal", "__Host-portal-visitor", "__Host-portal-flash"}
    for name, flags in found.items():
        assert {"Secure", "HttpOnly", "Path=/"} <= flags, name
        assert {"SameSite=Lax", "SameSite=Strict"} & flags, name
        assert not [flag for flag in flags if flag.startswith("Domain")], name


async def test_on_plain_loopback_the_cookies_still_work_and_hide_from_scripts(web: WebPeer) -> None:
    found = await _all_cookies(web)
    assert set(found) == {"portal", "portal-visitor", "portal-flash"}
    for name, flags in found.items():
        assert "HttpOnly" in flags, name
        assert "Secure" not in flags, name


async def test_https_is_made_to_stick(secure: WebPeer, web: WebPeer) -> None:
    assert "max-age=31536000" in (await secure.browser().get("/sign-in")).headers["strict-transport-security"]
    assert "strict-transport-security" not in (await web.browser().get("/sign-in")).headers


async def test_static_files_and_the_api_set_no_cookie(web: WebPeer) -> None:
    _, key = await web.key("notifications:read")
    browser = web.browser()
    assert not _cookies(await browser.get("/static/css/base.css"))
    assert not _cookies(await browser.get("/api/v1/whoami", authorization=f"Bearer {key}"))


async def test_a_sentence_that_somebody_planted_is_not_shown(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com", "admin"))
    browser.http.cookies.set("portal-flash", "WyJkYW5nZXIiLCAiY2FsbCB1cyJd.0000", domain="127.0.0.1")
    assert "call us" not in (await browser.get("/account")).text
