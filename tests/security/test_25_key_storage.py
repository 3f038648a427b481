"""Security row 25: what is stored of an API key is of no use to whoever reads the database."""

from __future__ import annotations

import hashlib
import re

import pytest
from sqlalchemy import select

from portal.access import ApiKey
from portal.access.queries import keys_in_use
from portal.db import Base
from tests.web_peer import WebPeer

pytestmark = pytest.mark.databases("sqlite")


async def test_no_table_holds_the_key_or_more_than_its_beginning(web: WebPeer) -> None:
    admin = await web.signed_in(await web.user("ada@example.com", "admin"))
    form = {"name": "shop", "application": "shop", "mode": "live", "scopes": ["notifications:send"], "expires": ""}
    answer = await admin.post("/keys", form, token=await admin.token("/account"))
    key = re.search(r"pp_live_[\w-]{43}", answer.text)
    assert key, answer.text
    secret = key.group(0)
    async with web.db.read() as conn:
        for table in Base.metadata.sorted_tables:
            for row in (await conn.execute(select(table))).all():
                assert secret[16:] not in repr(tuple(row)), table.name
        stored = (await conn.execute(select(ApiKey.sha256, ApiKey.prefix))).one()
    assert stored.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret.startswith(stored.prefix)
    assert len(stored.prefix) == 12


async def test_a_key_is_shown_once(web: WebPeer) -> None:
    admin = await web.signed_in(await web.user("ada@example.com", "admin"))
    form = {"name": "shop", "application": "shop", "mode": "test", "scopes": ["notifications:send"], "expires": "30"}
    first = await admin.post("/keys", form, token=await admin.token("/account"))
    assert re.search(r"pp_test_[\w-]{43}", first.text)
    assert first.headers["cache-control"].startswith("no-store")
    assert not re.search(r"pp_test_[\w-]{43}", (await admin.get("/keys")).text)


async def test_keys_are_256_random_bits_that_a_secret_scanner_finds(web: WebPeer) -> None:
    keys = {(await web.key("notifications:send"))[1] for _ in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"pp_live_[A-Za-z0-9_-]{43}", key) for key in keys)


async def test_a_stored_digest_is_not_a_key(web: WebPeer) -> None:
    await web.key("notifications:read")
    async with web.db.read() as conn:
        row = (await keys_in_use(conn))[0]
    for guess in (row.sha256, f"pp_live_{row.sha256}", row.prefix):
        answer = await web.browser().get("/api/v1/whoami", authorization=f"Bearer {guess}")
        assert answer.status_code == 401


async def test_a_key_in_the_address_is_not_read(web: WebPeer) -> None:
    _, key = await web.key("notifications:read")
    answer = await web.browser().get(f"/api/v1/whoami?api_key={key}&access_token={key}")
    assert answer.status_code == 401
