"""The outermost layer: hosts, bodies, request ids, proxies, static files."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from portal.db import Database
from portal.settings import Settings
from tests.web_peer import WebPeer, open_web

pytestmark = pytest.mark.databases("sqlite")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "a b", "localhost:99999x", "[::1", "portal.example:x"],
)  # fmt: skip
async def test_a_foreign_host_is_refused(web: WebPeer, host: str) -> None:
    answer = await web.browser().get("/sign-in", host=host, x_forwarded_host="localhost")
    assert answer.status_code == 400
    assert answer.json()["code"] == "unknown_host"


async def test_known_hosts_are_served(db: Database, settings: Settings) -> None:
    async with open_web(db, settings, public_url="https://portal.example", allowed_hosts=["*.corp.example"]) as web:
        for host in ("portal.example", "PORTAL.example:443", "localhost:8000", "[::1]:8000", "a.corp.example"):
            assert (await web.browser().get("/sign-in", host=host)).status_code == 200, host
        for host in ("corp.example", "xcorp.example", "a.corp.example.evil.example"):
            assert (await web.browser().get("/sign-in", host=host)).status_code == 400, host


async def test_a_probe_may_use_any_host(web: WebPeer) -> None:
    # The test application has no /health; that it is not found proves that the host was let through.
    assert (await web.browser().get("/health", host="10.1.2.3:8000")).status_code == 404


async def test_a_body_over_the_limit_is_refused_announced_or_not(web: WebPeer) -> None:
    _, key = await web.key("notifications:send")
    caller, limit = web.browser(authorization=f"Bearer {key}"), web.settings.max_body_bytes

    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1024

    assert (await caller.http.post("/api/v1/things", content=b"x" * limit)).json() == {"bytes": limit}
    announced = await caller.http.post("/api/v1/things", content=b"x" * (limit + 1))
    assert (announced.status_code, announced.json()["code"]) == (413, "too_large")
    assert (await caller.http.post("/api/v1/things", content=chunks(limit // 1024))).status_code == 200
    assert (await caller.http.post("/api/v1/things", content=chunks(limit // 1024 + 1))).status_code == 413
    for length in ("-1", "x", "1e9"):
        answer = await caller.http.post("/api/v1/things", content=b"x", headers={"content-length": length})
        assert answer.status_code == 413


async def test_a_request_id_is_kept_when_it_looks_like_one(web: WebPeer) -> None:
    browser = web.browser()
    assert (await browser.get("/sign-in", x_request_id="abc-123_XYZ")).headers["x-request-id"] == "abc-123_XYZ"
    for given in ("short", "x" * 65, "a b c d e f", "<script>alert"):
        assert (await browser.get("/sign-in", x_request_id=given)).headers["x-request-id"] != given


async def test_the_access_log_leaves_out_queries_and_line_breaks(
    web: WebPeer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "portal.access_log"):
        await web.browser().get("/sign-in/link?token=canary-token")
        await web.browser().get("/sign-in%0aFAKE")
    lines = [record.getMessage() for record in caplog.records if record.name == "portal.access_log"]
    assert [line.split()[1] for line in lines] == ["/sign-in/link", r"/sign-in\nFAKE"]
    assert not [line for line in lines if "canary-token" in line or "\n" in line]


async def test_a_forwarded_address_is_believed_only_from_a_proxy(db: Database, settings: Settings) -> None:
    from sqlalchemy import select

    from portal.identity import create_user
    from portal.web.models import Session

    for proxies, expected in (([], "192.0.2.1"), (["192.0.2.0/24"], "203.0.113.9")):
        async with open_web(db, settings, trusted_proxies=proxies) as web:
            path = await create_user(db, f"{len(proxies)}@example.com", ["viewer"])
            form = {"token": path.partition("token=")[2]}
            await web.browser().post("/sign-in/link", form, x_forwarded_for="198.51.100.1, 203.0.113.9, 192.0.2.8")
            async with db.read() as conn:
                rows = (await conn.execute(select(Session.address).order_by(Session.created_at))).scalars().all()
            assert rows[-1] == expected


async def test_static_files_are_kept_for_ever_by_their_hash_and_never_leave_their_folder(web: WebPeer) -> None:
    browser = web.browser()
    address = web.framework.state.assets.url("css/base.css")
    answer = await browser.get(address)
    assert answer.headers["cache-control"].endswith("immutable")
    assert answer.headers["content-type"].startswith("text/css")
    assert (await browser.get("/static/css/base.css?v=old")).headers["cache-control"] == "public, no-cache"
    assert (await browser.get(address, if_none_match=answer.headers["etag"])).status_code == 304
    head = await browser.http.head(address)
    assert (head.content, head.headers["content-length"]) == (b"", answer.headers["content-length"])
    for path in (
        "../pyproject.toml",
        "..%2fpyproject.toml",
        "css/../../pyproject.toml",
        "/etc/passwd",
        "css",
        "%00",
        "x" * 300,
    ):
        assert (await browser.get(f"/static/{path}")).status_code == 404, path


async def test_text_is_sent_compressed_to_who_takes_it(web: WebPeer) -> None:
    answer = await web.browser().get("/static/vendor/tabler-1.6.1.min.css", accept_encoding="gzip, br")
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < 120_000
    assert answer.text.startswith('@charset "UTF-8"')
    plain = await web.browser().get("/static/vendor/tabler-1.6.1.min.css", accept_encoding="identity")
    assert "content-encoding" not in plain.headers
    assert answer.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
