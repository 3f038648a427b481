"""The contract carries a vendor with tokens, one that is polled, one that takes batches, and a channel nobody knew."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import msgspec
import pytest

from portal.access.actor import SYSTEM
from portal.db import Database, Revisions
from portal.plugin_loader import Registry, load
from portal.providers import Accounts, Guard, ProviderAccount, seed, send_many, send_one
from portal.providers.create import create_account
from portal.providers.schemas import AccountCreate
from portal.sdk import CallbackRefused, CallbackRequest, Receipt, SendFailed
from portal.sdk.testing import (
    ChannelContract,
    ContextForTests,
    HttpProviderContract,
    ProviderContract,
    import_plugin,
    sample_message,
)
from portal.sealing import Keyring
from portal.settings import Settings
from tests.http_peer import Heard, answer, http_peer

HERE = Path(__file__).parent
NAMES = ("acorn", "carrier", "courier", "pager")
for _name in NAMES:
    import_plugin(HERE / _name)

from plugins.acorn.provider import Acorn  # noqa: E402
from plugins.carrier.provider import Carrier  # noqa: E402
from plugins.courier.provider import Courier  # noqa: E402
from plugins.pager.channel import Pager  # noqa: E402
from plugins.pager.provider import PagerGateway  # noqa: E402

SMS = sample_message(channel="sms", address="+442079460018", parts={"text": "Your code is 123456"})
MAIL = sample_message(channel="email", address="ann@example.com", parts={"subject": "Hello", "text": "Hi Ann"})
PAGE = sample_message(channel="pager", address="00471", parts={"text": "Call the ward", "urgency": "9"})


def acorn_vendor(request: httpx2.Request) -> httpx2.Response:
    if request.url.path == "/token":
        return httpx2.Response(200, json={"access_token": "t1"})
    return httpx2.Response(200, json={"id": "acorn-1"})


class TestAcorn(ProviderContract):
    provider = Acorn
    settings = {"client": "c", "client_secret": "client-canary", "callback_secret": "callback-canary"}
    message = SMS

    @pytest.fixture
    def context(self) -> ContextForTests:
        return ContextForTests(acorn_vendor)


class TestCarrier(HttpProviderContract):
    provider = Carrier
    settings = {"api_key": "carrier-canary"}
    message = SMS
    accepted = httpx2.Response(201, json={"messages": [{"id": "c-1"}]})


class TestCourier(HttpProviderContract):
    provider = Courier
    settings = {"api_key": "courier-canary"}
    message = MAIL

    accepted = httpx2.Response(202, json={"answers": [{"id": MAIL.id, "ok": True, "message": "m-1"}]})

    @pytest.fixture
    def context(self) -> ContextForTests:
        def vendor(request: httpx2.Request) -> httpx2.Response:
            mails = json.loads(request.content)["mails"]
            return httpx2.Response(202, json={"answers": [{"id": m["id"], "ok": True, "message": "m"} for m in mails]})

        return ContextForTests(vendor)


class TestPagerChannel(ChannelContract):
    channel = Pager
    good = {"00471": "00471", "0047 1234": "00471234"}
    bad = ["12", "12345678901", "abcd", "+4712345", "12.34"]
    parts = {"text": "Call the ward"}


async def gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A paging gateway that knows every pager but 9999."""
    while line := await reader.readline():
        _, message_id, number, _, *_ = line.decode().split()
        writer.write(b"NO such pager\n" if number == "9999" else f"OK page-{message_id[-4:]}\n".encode())
    writer.close()


@pytest.fixture
async def gateway_port() -> AsyncIterator[int]:
    server = await asyncio.start_server(gateway, "127.0.0.1", 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()


class TestPagerGateway(ProviderContract):
    provider = PagerGateway
    settings = {"host": "127.0.0.1", "port": 1}
    message = PAGE

    @pytest.fixture
    async def context(self, gateway_port: int) -> ContextForTests:
        self.settings = {**self.settings, "port": gateway_port}
        return ContextForTests()


class Installation:
    """The portal with these four plugins, found as an operator would install them: in a folder of their own."""

    def __init__(self, db: Database) -> None:
        self.db = db
        enabled = ["email", "sms", "webhook", "sandbox", *NAMES]
        self.registry: Registry = load(Settings(plugins_dir=str(HERE), plugins=enabled))
        self.keyring = Keyring([bytes(32)])
        self.accounts = Accounts(db, self.registry, self.keyring, Revisions(db), guard=Guard(["127.0.0.1"]))

    async def account(self, provider: str, channel: str, **settings: Any) -> UUID:
        given = AccountCreate(key=provider.replace("_", "-"), channel=channel, provider=provider, settings=settings)
        account_id = await self.db.transact(create_account, SYSTEM, self.registry, self.keyring, given)
        await self.accounts.load()
        return account_id


@pytest.fixture
async def installation(db: Database) -> AsyncIterator[Installation]:
    made = Installation(db)
    assert {info.name: info.problem for info in made.registry.plugins if info.problem} == {}
    await db.transact(seed, made.registry)
    await made.accounts.load()
    yield made
    await made.accounts.close()


pytestmark = pytest.mark.databases("sqlite")


def test_hook_register_channels_gives_the_channel_to_the_portal() -> None:
    registry = load(Settings(plugins_dir=str(HERE), plugins=["pager"]))
    assert registry.channels["pager"].normalise(" 00-471 ") == "00471"
    assert [provider.name for provider in registry.providers_of("pager")] == ["pager_gateway"]


def test_hook_register_providers_gives_the_provider_to_the_portal() -> None:
    registry = load(Settings(plugins_dir=str(HERE), plugins=["acorn", "sandbox"]))
    assert registry.providers["acorn"].title == "Acorn SMS"
    assert [provider.name for provider in registry.providers_of("sms")] == ["acorn", "sandbox"]
    assert registry.plugin_of("acorn") is not None


async def test_a_new_channel_has_a_sandbox_at_once(installation: Installation) -> None:
    account = installation.accounts.get(installation.accounts.sandbox("pager"))
    assert isinstance(await send_one(account, PAGE), Receipt)
    assert [kept.message for kept in account.take_kept([PAGE.id])] == [PAGE]
    assert account.take_kept([PAGE.id]) == []


async def test_a_page_goes_through_the_guarded_connection(installation: Installation, gateway_port: int) -> None:
    account = installation.accounts.get(
        await installation.account("pager_gateway", "pager", host="127.0.0.1", port=gateway_port)
    )
    assert await send_one(account, PAGE) == Receipt("page-2c3d")
    failed = await send_one(account, msgspec.structs.replace(PAGE, address="9999"))
    assert isinstance(failed, SendFailed)
    assert failed.suppress


async def test_a_page_to_a_private_gateway_that_is_not_allowed_is_refused(installation: Installation) -> None:
    account_id = await installation.account("pager_gateway", "pager", host="10.0.0.1")
    failed = await send_one(installation.accounts.get(account_id), PAGE)
    assert isinstance(failed, SendFailed)
    assert (failed.permanent, failed.code) == (True, "egress")


async def test_one_token_serves_many_sends_and_a_refused_one_is_fetched_anew(installation: Installation) -> None:
    valid: list[str] = []

    async def vendor(heard: Heard) -> bytes:
        if heard.target == "/token":
            valid[:] = [f"t{len(peer.heard)}"]
            return answer(200, json.dumps({"access_token": valid[0]}).encode())
        known = heard.headers.get("authorization") == f"Bearer {valid[0]}"
        return answer(200, b'{"id": "a-1"}') if known else answer(401)

    async with http_peer() as peer:
        peer.answer = vendor
        settings = {"client": "c", "client_secret": "s", "callback_secret": "s", "server": peer.url("").rstrip("/")}
        account = installation.accounts.get(await installation.account("acorn", "sms", **settings))
        results = await asyncio.gather(*(send_one(account, SMS) for _ in range(10)))
        assert results == [Receipt("a-1")] * 10
        assert [heard.target for heard in peer.heard].count("/token") == 1
        valid[:] = ["changed at the vendor"]
        failed = await send_one(account, SMS)
        assert isinstance(failed, SendFailed)
        assert not failed.permanent
        assert await send_one(account, SMS) == Receipt("a-1")
        assert [heard.target for heard in peer.heard].count("/token") == 2


def test_a_signed_callback_becomes_an_event() -> None:
    body = b'{"id": "acorn-1", "status": "DELIVRD", "at": "2026-03-01T12:00:00Z", "event": "e1"}'
    signature = hmac.new(b"callback-canary", body, hashlib.sha256).hexdigest()

    def called(signature: str) -> CallbackRequest:
        headers = {"x-acorn-signature": signature}
        return CallbackRequest(method="POST", url="https://p.example/", headers=headers, query={}, body=body)

    events = list(TestAcorn().make().parse_callback(called(signature)))
    assert [(event.kind, event.vendor_id, event.event_id) for event in events] == [("delivered", "acorn-1", "e1")]
    with pytest.raises(CallbackRefused):
        list(
            TestAcorn()
            .make()
            .parse_callback(called(signature[:-1] + "0" if signature[-1] != "0" else signature[:-1] + "1"))
        )


async def test_a_polled_vendor_says_what_happened_and_what_it_has() -> None:
    def vendor(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/reports":
            reports = [
                {"id": "c-1", "state": "delivered", "at": "2026-03-01T12:00:00+00:00"},
                {"id": "c-2", "state": "queued"},
            ]
            return httpx2.Response(200, json={"reports": reports})
        known = request.url.path.endswith("/known")
        return httpx2.Response(200, json={"id": "c-1"}) if known else httpx2.Response(404)

    context, provider = ContextForTests(vendor), TestCarrier().make()
    events = list(await provider.poll(datetime(2026, 3, 1, tzinfo=UTC), context))
    assert [(event.kind, event.vendor_id) for event in events] == [("delivered", "c-1")]
    assert await provider.lookup("known", context) == Receipt("c-1")
    assert await provider.lookup("never seen", context) is None


async def test_settings_of_an_older_plugin_are_upgraded_when_they_are_read(installation: Installation) -> None:
    account_id = await installation.account("carrier", "sms", api_key="k")
    old = {"host": "old.example", "port": 444}
    async with installation.db.write() as conn:
        await conn.execute(ProviderAccount.__table__.update().values(settings=old, settings_version=1, version=2))
    await installation.accounts.load()
    account = installation.accounts.get(account_id)
    assert account.problem is None
    assert account.provider.settings.server == "https://old.example:444"


async def test_a_batch_vendor_is_called_once_and_every_mail_has_its_answer(installation: Installation) -> None:
    async def vendor(heard: Heard) -> bytes:
        mails = json.loads(heard.body)["mails"]
        kinds = [{"ok": True, "message": "m"}, {"error": "busy"}, {"error": "blocked"}]
        answers = [{"id": mail["id"], **kinds[n]} for n, mail in enumerate(mails[:3])]
        return answer(202, json.dumps({"answers": answers}).encode())

    async with http_peer() as peer:
        peer.answer = vendor
        account_id = await installation.account("courier", "email", api_key="k", server=peer.url("").rstrip("/"))
        account = installation.accounts.get(account_id)
        assert account.batch == 50
        mails = [msgspec.structs.replace(MAIL, id=f"d{n}") for n in range(4)]
        accepted, busy, blocked, silent = await send_many(account, mails)
        assert len(peer.heard) == 1
    assert accepted == Receipt("m")
    assert isinstance(busy, SendFailed)
    assert isinstance(blocked, SendFailed)
    assert isinstance(silent, SendFailed)
    assert [failed.permanent for failed in (busy, blocked, silent)] == [False, True, False]
    assert silent.ambiguous


async def test_a_batch_call_that_fails_fails_for_all(installation: Installation) -> None:
    async with http_peer() as peer:
        peer.answer = answer(503, Retry_After="7")
        account_id = await installation.account("courier", "email", api_key="k", server=peer.url("").rstrip("/"))
        results = await send_many(installation.accounts.get(account_id), [MAIL] * 5)
    assert [type(result) for result in results] == [SendFailed] * 5
    assert {result.retry_after for result in results if isinstance(result, SendFailed)} == {7}
