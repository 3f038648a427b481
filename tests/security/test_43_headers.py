"""Security row 43: every answer carries the strict policy, and nothing of ours can be framed."""

from __future__ import annotations

import pytest
from litestar.enums import HttpMethod

from portal.web.guards import guarded_routes
from tests.web_peer import WebPeer

pytestmark = pytest.mark.databases("sqlite")
ID = "01940000-0000-7000-8000-000000000000"


def _directives(policy: str) -> dict[str, str]:
    return {name: rest for name, _, rest in (part.strip().partition(" ") for part in policy.split(";")) if name}


async def test_every_answer_carries_the_headers(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com", "admin"))
    paths = {r.path.replace("{user_id:uuid}", ID) for r in guarded_routes(web.framework) if r.method == HttpMethod.GET}
    for path in (*paths - {"/a-preview"}, "/nowhere", "/static/css/base.css", "/static/nothing.css", "/api/v1/nowhere"):
        answer = await browser.get(path)
        policy = _directives(answer.headers["content-security-policy"])
        assert policy["default-src"] == "'none'", path
        assert policy["frame-ancestors"] == "'none'", path
        assert "unsafe" not in answer.headers["content-security-policy"], path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["referrer-policy"] == "same-origin", path
        assert len(answer.headers.get_list("content-security-policy")) == 1, path


async def test_a_preview_of_foreign_html_is_boxed_in(web: WebPeer) -> None:
    answer = await web.browser().get("/a-preview")
    policy = _directives(answer.headers["content-security-policy"])
    assert policy["sandbox"] == ""
    assert "script-src" not in policy
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


async def test_pages_are_not_kept_by_caches(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com", "admin"))
    answer = await browser.get("/keys")
    assert answer.headers["cache-control"].startswith("no-store")
    assert "HX-Request" in answer.headers["vary"]
