"""Security row 3: only our own page, in this very session, can make a browser change something."""

from __future__ import annotations

import pytest
from litestar.enums import HttpMethod
from sqlalchemy import func, select

from portal.db import Base
from portal.web.guards import SAFE_METHODS, guarded_routes
from tests.web_peer import WebPeer

pytestmark = pytest.mark.databases("sqlite")
ID = "01940000-0000-7000-8000-000000000000"


def _unsafe(web: WebPeer) -> list[str]:
    routes = [r for r in guarded_routes(web.framework) if r.method not in SAFE_METHODS and "machines" not in r.guards]
    assert all(r.method == HttpMethod.POST for r in routes)
    return sorted({r.path.replace("{user_id:uuid}", ID).replace("{key_id:uuid}", ID) for r in routes})


async def test_every_unsafe_route_refuses_a_request_without_the_token(web: WebPeer) -> None:
    user = await web.user("ada@example.com", "admin")
    other = await web.signed_in(await web.user("eve@example.com", "admin"))
    theirs = await other.token("/account")
    for path in _unsafe(web):
        browser = await web.signed_in(user)
        mine = await browser.token("/account")
        tries = [
            await browser.post(path, {"email": "x@example.com"}, token=""),
            await browser.post(path, {"email": "x@example.com"}, token=theirs),
            await browser.post(path, {"email": "x@example.com"}, token=mine[:-1] + ("0" if mine[-1] != "0" else "1")),
            await browser.post(path, token=mine, sec_fetch_site="cross-site"),
            await browser.post(path, token=mine, sec_fetch_site="same-site"),
            await browser.post(path, token=mine, origin="https://evil.example"),
            await browser.post(path, token=mine, origin="null"),
            await browser.http.post(path, content=b'{"csrf_token": "x"}', headers={"content-type": "text/plain"}),
            await browser.http.post(path, content=mine.encode(), headers={"content-type": "application/json"}),
            await browser.http.post(f"{path}?csrf_token={mine}"),
        ]
        assert [answer.status_code for answer in tries] == [403] * len(tries), path


async def test_the_token_works_as_a_field_in_both_encodings_and_as_a_header(web: WebPeer) -> None:
    user = await web.user("ada@example.com", "admin")
    for way in ("field", "multipart", "header"):
        browser = await web.signed_in(user)
        token = await browser.token("/account")
        if way == "field":
            answer = await browser.post("/sign-out", token=token, origin=web.settings.base_url)
        elif way == "multipart":
            answer = await browser.http.post("/sign-out", files={"csrf_token": (None, token)})
        else:
            answer = await browser.http.post(
                "/sign-out", headers={"x-csrf-token": token, "sec-fetch-site": "same-origin"}
            )
        assert answer.status_code == 303, way


async def test_a_visitors_token_is_bound_to_the_visitor(web: WebPeer) -> None:
    attacker, victim = web.browser(), web.browser()
    token = await attacker.token()
    form = {"email": "eve@example.com", "password": "whatever it is 12"}
    assert (await victim.post("/sign-in", form, token=token)).status_code == 403
    await victim.token()
    assert (await victim.post("/sign-in", form, token=token)).status_code == 403
    assert (await attacker.post("/sign-in", form, token=token)).status_code == 422


async def test_a_token_does_not_outlive_its_session(web: WebPeer) -> None:
    user = await web.user("ada@example.com", "admin")
    browser = await web.signed_in(user)
    token = await browser.token("/account")
    await browser.post("/sign-out", token=token)
    again = await web.signed_in(user)
    assert (await again.post("/sign-out", token=token)).status_code == 403


async def test_an_api_key_needs_no_token_and_a_wrong_one_gives_no_way_around_it(web: WebPeer) -> None:
    _, key = await web.key("notifications:send")
    caller = web.browser()
    answer = await caller.http.post("/api/v1/things", json={}, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    browser = await web.signed_in(await web.user("ada@example.com", "admin"))
    answer = await browser.http.post("/api/v1/things", json={}, headers={"authorization": "Bearer pp_live_nothing"})
    assert answer.status_code == 401
    answer = await browser.http.post("/sign-out", headers={"authorization": "Basic eDp5"})
    assert answer.status_code in (303, 401)
    assert (await browser.get("/account")).status_code == 200
    assert (await browser.http.post("/api/v1/things", json={})).status_code == 403


async def test_a_machine_needs_no_token(web: WebPeer) -> None:
    assert (await web.browser().http.post("/callbacks/x", headers={"sec-fetch-site": "cross-site"})).status_code == 200


async def test_no_get_changes_the_database(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com", "admin"))

    async def counts() -> dict[str, int]:
        async with web.db.read() as conn:
            tables = [t for t in Base.metadata.sorted_tables if t.name != "revision"]
            return {t.name: (await conn.execute(select(func.count()).select_from(t))).scalar_one() for t in tables}

    before = await counts()
    for route in guarded_routes(web.framework):
        if route.method == HttpMethod.GET:
            await browser.get(route.path.replace("{user_id:uuid}", ID))
    assert await counts() == before
