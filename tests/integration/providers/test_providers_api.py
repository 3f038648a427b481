"""Provider accounts and routes through the JSON API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from portal.db import Database, Revisions, new_id
from portal.plugin_loader import load
from portal.providers import Accounts, Guard, seed
from portal.providers.api import api_router
from portal.providers.form import MASK
from portal.providers.seed import FALLBACK_POSITION
from portal.sealing import Keyring
from portal.settings import Settings
from tests.api_peer import ApiPeer, api
from tests.integration.providers.world import SECRET, smtp_settings

pytestmark = pytest.mark.databases("sqlite")
MAIL = {"key": "mail", "title": "Mail", "channel": "email", "provider": "smtp", "settings": smtp_settings()}


@pytest.fixture
async def peer(settings: Settings, db: Database) -> AsyncIterator[ApiPeer]:
    registry, keyring = load(settings), Keyring.from_settings(settings)
    accounts = Accounts(db, registry, keyring, Revisions(db), guard=Guard())
    await db.transact(seed, registry)
    async with api(settings, db, [api_router], accounts=accounts, keyring=keyring) as made:
        yield made


async def test_the_life_of_an_account(peer: ApiPeer) -> None:
    made = await peer.ask("POST", "/provider-accounts", MAIL, status=201)
    assert (made["key"], made["enabled"], made["problem"], made["version"]) == ("mail", True, None, 1)
    assert made["settings"]["password"] == MASK
    path = f"/provider-accounts/{made['id']}"
    changed = await peer.ask(
        "PATCH", path, {"settings": {"host": "new.example"}, "concurrency": 5}, status=200, If_Match='"1"'
    )
    assert (changed["settings"]["host"], changed["settings"]["password"], changed["concurrency"]) == (
        "new.example",
        MASK,
        5,
    )
    await peer.ask("PATCH", path, {"title": "Late"}, status=412, If_Match='"1"')
    assert await peer.ask("GET", path, status=200) == changed
    listed = await peer.ask("GET", "/provider-accounts", status=200)
    assert [account["key"] for account in listed["items"]] == [
        "mail",
        "sandbox-email",
        "sandbox-sms",
        "sandbox-webhook",
    ]
    await peer.ask("DELETE", path, status=204)
    await peer.ask("GET", path, status=404)
    await peer.ask("DELETE", path, status=404)


async def test_no_answer_ever_has_a_secret(peer: ApiPeer, caplog: pytest.LogCaptureFixture) -> None:
    made = await peer.ask("POST", "/provider-accounts", MAIL, status=201)
    path = f"/provider-accounts/{made['id']}"
    answers = [
        made,
        await peer.ask("GET", path, status=200),
        await peer.ask("GET", "/provider-accounts", status=200),
        await peer.ask("PATCH", path, {"settings": {"password": SECRET + "-2"}}, status=200),
        await peer.ask("PATCH", path, {"settings": {"port": "x", "password": SECRET}}, status=400),
        await peer.ask(
            "POST", "/provider-accounts", {**MAIL, "settings": smtp_settings(password=[SECRET])}, status=400
        ),
        await peer.ask("POST", f"{path}/check", status=200),
    ]
    assert SECRET not in json.dumps(answers)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"settings": {}}, {"settings.host", "settings.sender"}),
        ({"settings": smtp_settings(port=0, tls="maybe")}, {"settings.port", "settings.tls"}),
        ({"settings": smtp_settings(no_such=1)}, {"settings.no_such"}),
        ({"settings": smtp_settings(tls="none")}, {"settings.tls"}),
        ({"channel": "sms"}, {"provider"}),
        ({"channel": "pigeon"}, {"channel", "provider"}),
        ({"provider": "nobody"}, {"provider"}),
        ({"key": "Not A Key"}, {"key"}),
        ({"key": "sandbox-mine"}, {"key"}),
    ],
)
async def test_what_is_wrong_is_named(change: dict[str, Any], fields: set[str], peer: ApiPeer) -> None:
    assert set(await peer.problems("POST", "/provider-accounts", {**MAIL, **change})) == fields


async def test_a_taken_key_is_a_conflict(peer: ApiPeer) -> None:
    await peer.ask("POST", "/provider-accounts", MAIL, status=201)
    await peer.ask("POST", "/provider-accounts", MAIL, status=409)


async def test_the_check_answers_with_a_sentence(peer: ApiPeer) -> None:
    made = await peer.ask(
        "POST", "/provider-accounts", {**MAIL, "settings": smtp_settings(host="10.0.0.1")}, status=201
    )
    found = await peer.ask("POST", f"/provider-accounts/{made['id']}/check", status=200)
    assert not found["ok"]
    assert "PORTAL_EGRESS_ALLOW" in found["message"]
    await peer.ask("POST", f"/provider-accounts/{new_id()}/check", status=404)


async def test_providers_show_the_form_of_their_accounts(peer: ApiPeer) -> None:
    listed = await peer.ask("GET", "/providers", status=200)
    assert [provider["name"] for provider in listed["items"]] == ["sandbox", "smtp", "webhook"]
    smtp = listed["items"][1]
    password = next(field for field in smtp["fields"] if field["name"] == "password")
    assert (smtp["plugin"], smtp["channel"], password["secret"]) == ("email", "email", True)


async def test_the_life_of_a_route(peer: ApiPeer) -> None:
    account = await peer.ask("POST", "/provider-accounts", MAIL, status=201)
    step = {"channel": "email", "account_id": account["id"], "position": 10}
    made = await peer.ask("POST", "/routes", step, status=201)
    assert (made["position"], made["fallback"]) == (10, False)
    path = f"/routes/{made['id']}"
    changed = await peer.ask("PATCH", path, {"position": 5, "enabled": False}, status=200)
    assert (changed["position"], changed["enabled"]) == (5, False)
    steps = (await peer.ask("GET", "/routes", status=200))["items"]
    mine = [(each["position"], each["fallback"]) for each in steps if each["channel"] == "email"]
    assert mine == [(5, False), (FALLBACK_POSITION, True)]
    assert len([each for each in steps if each["fallback"]]) == 3
    await peer.ask("DELETE", path, status=204)
    await peer.ask("GET", path, status=404)
    assert set(await peer.problems("POST", "/routes", {**step, "channel": "sms"})) == {"account_id"}
    assert set(await peer.problems("POST", "/routes", {**step, "account_id": str(new_id())})) == {"account_id"}


async def test_who_may_only_read_changes_nothing(settings: Settings, db: Database) -> None:
    registry, keyring = load(settings), Keyring.from_settings(settings)
    accounts = Accounts(db, registry, keyring, Revisions(db))
    async with api(settings, db, [api_router], scopes=["providers:read"], accounts=accounts, keyring=keyring) as peer:
        await peer.ask("GET", "/provider-accounts", status=200)
        await peer.ask("POST", "/provider-accounts", MAIL, status=403)
        await peer.ask("PATCH", f"/provider-accounts/{new_id()}", {}, status=403)
        await peer.ask("DELETE", f"/routes/{new_id()}", status=403)
        await peer.ask("POST", f"/provider-accounts/{new_id()}/check", status=403)
