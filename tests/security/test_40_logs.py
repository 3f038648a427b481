"""Row 40: canaries sent through every flow reach no log, no queue, no error page and no table that should not have them."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from portal.providers import accounts as open_accounts
from portal.runtime import logs
from portal.sdk import Context, Message, Receipt
from portal.settings import Settings
from tests.portal_peer import PortalPeer, one, open_portal

# What is logged does not depend on the database.
pytestmark = pytest.mark.databases("sqlite")

CANARY = "canary7f3a91"
PHONE = "+14155550177"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that this process logs, at the most talkative level, as it is written in production."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    logs.configure("debug", stream=written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
async def portal(
    database_url: str, redis_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PortalPeer]:
    """The whole application, with a Redis."""
    async with open_portal(settings, monkeypatch) as peer:
        yield peer


def leaks(text: str) -> list[str]:
    """The lines that hold a canary or a recipient."""
    return [line for line in text.splitlines() if CANARY in line or PHONE in line]


async def test_data_addresses_and_keys_reach_no_log(portal: PortalPeer, lines: io.StringIO) -> None:
    client = await portal.key()
    to = {"channel": "sms", "address": PHONE}
    await client.send(to=to, data={"code": CANARY}, reference="quiet")
    await portal.deliver()
    await client.raw("POST", "/notifications", one(to=to, data={"code": CANARY, CANARY: 1}))
    await client.raw("POST", "/notifications", b'{"template": "' + CANARY.encode())
    await client.raw("GET", f"/notifications?reference={CANARY}")
    await client.http.get("/api/v1/notifications", headers={"Authorization": f"Bearer pp_live_{CANARY}"})
    assert lines.getvalue(), "nothing was logged: this test would see no leak"
    assert leaks(lines.getvalue()) == []
    assert client.token not in lines.getvalue()


async def test_a_plugin_that_fails_with_the_message_in_its_error_leaks_nothing(
    portal: PortalPeer, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: object, messages: list[Message], ctx: Context) -> list[Receipt]:
        raise RuntimeError(f"could not send {messages[0].parts} to {messages[0].address}")

    client = await portal.key()
    account = portal.parts.accounts.get(portal.parts.accounts.sandbox("sms"))
    assert isinstance(account, open_accounts.OpenAccount)
    monkeypatch.setattr(type(account.provider), "send_many", fail)
    monkeypatch.setattr(type(account.provider), "send", lambda self, message, ctx: fail(self, [message], ctx))
    sent = await client.send(to={"channel": "sms", "address": PHONE}, data={"code": CANARY})
    await portal.deliver()
    found = await client.get(sent)
    assert found["deliveries"][0]["attempts"][0]["result"] == "ambiguous"
    assert CANARY not in str(found["deliveries"])
    assert leaks(lines.getvalue()) == []


async def test_the_queue_holds_ids_and_nothing_else(portal: PortalPeer, redis_url: str) -> None:
    client = await portal.key()
    await client.send(to={"channel": "sms", "address": PHONE}, data={"code": CANARY}, reference=CANARY)
    async with Redis.from_url(redis_url) as redis:
        for _ in range(100):
            keys = [key async for key in redis.scan_iter("*")]
            if any(b"job" in key for key in keys):
                break
            await asyncio.sleep(0.02)
        assert any(b"job" in key for key in keys), "nothing was rung: this test would see no leak"
        stored = b"".join([b"".join(keys), *[await redis.dump(key) or b"" for key in keys]])
    assert CANARY.encode() not in stored
    assert PHONE.encode() not in stored


async def test_line_breaks_in_what_strangers_send_do_not_forge_a_line(portal: PortalPeer, lines: io.StringIO) -> None:
    client = await portal.key()
    forged = f"x\n2026-01-01T00:00:00Z error portal forged {uuid4()}"
    await client.raw("GET", "/notifications", **{"user-agent": "a\tb", "x-request-id": forged.replace("\n", " ")})
    await client.http.request("GET", "/api/v1/nothing%0a2026-01-01T00:00:00Z%20error%20forged")
    await client.raw("POST", "/notifications", one(reference=forged))
    assert not [line for line in lines.getvalue().splitlines() if line.startswith("2026-01-01T00:00:00Z")]
