"""What no browser of ours sends: characters that a database cannot hold, files for texts, numbers out of range."""

from __future__ import annotations

import pytest

from tests.integration.pages.conftest import SignIn, World
from tests.portal_peer import PortalPeer

TO_ADA = {"template": "order", "to": "address", "channel": "email", "address": "ada@example.com", "data.name": "Ada"}


async def test_a_nul_is_refused_wherever_it_comes_in(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("admin")
    token = await browser.token("/account")
    for path in (
        "/notifications?reference=%00", "/notifications?template=a%00b", "/sandbox?reference=%00",
        "/templates?search=%00", "/templates/a%00b", "/send?template=%00", "/send/people?template=order&person=ab%00",
    ):  # fmt: skip
        assert (await browser.get(path)).status_code == 400, path
    for changed in ({"data.name": "A\0"}, {"reference": "\0"}, {"to": "external", "source": "\0", "external_id": "1"}):
        assert (await browser.post("/send", {**TO_ADA, **changed}, token=token)).status_code in (400, 422), changed
    shop = await portal.key("shop")
    rows = {"sms": {"en": {"text": "{% for row in rows %}{{ row.name }}{% endfor %}"}}}
    await shop.ask("POST", "/templates", {"key": "rows", "parts": rows, "publish": True}, status=201)
    await portal.parts.revisions.poll()
    nested = {"template": "rows", "to": "address", "channel": "sms", "address": "+14155550100"}
    answer = await browser.post("/send", nested | {"data.rows": '[{"name": "a\\u0000"}]'}, token=token)
    assert answer.status_code == 422
    assert "NUL" in answer.text
    assert "Nothing matches" in (await browser.get("/notifications?template=rows")).text


@pytest.mark.databases("sqlite")
async def test_a_file_is_no_text(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("admin")
    token = await browser.token("/account")
    for path in ("/send", "/templates/-/new", "/templates/-/preview", "/providers/new", "/stops"):
        answer = await browser.http.post(path, data={"csrf_token": token}, files={"reason": ("a.txt", b"hello")})
        assert answer.status_code == 400, path


@pytest.mark.databases("sqlite")
async def test_numbers_out_of_range_are_said_and_not_stored(sign_in: SignIn, world: World) -> None:
    browser = await sign_in("admin")
    token = await browser.token("/account")
    for text in ("9" * 400, "1e999", "NaN", "-1"):
        typed = {"title": "x", "concurrency": text, "timeout_seconds": "3", "version": text}
        assert (await browser.post(f"/providers/{world.account}", typed, token=token)).status_code == 422, text
    for text in ("9999-12-31T23:59", "0001-01-01T00:00", "2026-13-01T00:00"):
        answer = await browser.post("/send", TO_ADA | {"send_at": text}, token=token)
        assert answer.status_code in (303, 422), text
    for day in ("9999-12-31", "0001-01-01", "x" * 300):
        assert (await browser.get(f"/notifications?since={day}&until={day}")).status_code == 200, day
