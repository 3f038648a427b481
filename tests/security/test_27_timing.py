"""Security row 27: secrets are compared in constant time. `tests/contract` has the static rule; here it runs."""

from __future__ import annotations

import hmac

import pytest

from portal.web.visit import Cookies, Visit
from tests.web_peer import WebPeer

pytestmark = pytest.mark.databases("sqlite")


async def test_tokens_and_signatures_go_through_compare_digest(web: WebPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes | str] = []
    real = hmac.compare_digest

    def watching(one: str, other: str) -> bool:
        compared.append(other)
        return real(one, other)

    monkeypatch.setattr("portal.web.visit.hmac.compare_digest", watching)
    visit = Visit(Cookies(web.settings), web.keyring, {"portal-visitor": "v" * 32})
    assert visit.accepts_csrf(visit.csrf_token)
    assert not visit.accepts_csrf("0" * 64)
    assert visit.signed("flash", "text", visit.sign("flash", "text"))
    assert not visit.signed("flash", "text", visit.sign("other", "text"))
    assert len(compared) == 4


async def test_a_token_that_is_no_ascii_is_refused_and_not_an_error(web: WebPeer) -> None:
    browser = web.browser()
    await browser.token()
    assert (await browser.post("/sign-in", {"email": "a"}, token="ключ" * 16)).status_code == 403
