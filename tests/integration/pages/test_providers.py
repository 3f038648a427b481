"""Accounts and routes by plain forms."""

from __future__ import annotations

import pytest

from tests.integration.pages.conftest import SignIn, World
from tests.portal_peer import PortalPeer
from tests.services import KINDS

pytestmark = pytest.mark.databases("sqlite")
SMTP = {
    "channel": "email", "provider": "smtp", "key": "second", "title": "Second", "concurrency": "5",
    "timeout_seconds": "12.5", "settings.host": "mail2.example.com", "settings.port": "2525", "settings.tls": "starttls",
    "settings.sender": "a@example.com", "settings.password": "open sesame", "settings.connections": "4",
}  # fmt: skip


async def test_an_account_is_set_up_from_the_providers_declaration(portal: PortalPeer, sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    form = await browser.get("/providers/new?channel=email&provider=smtp")
    assert 'name="settings.password"' in form.text
    answer = await browser.post("/providers/new", SMTP, token=await browser.token("/account"))
    assert answer.status_code == 303, answer.text
    page = await browser.get(answer.headers["location"])
    assert "open sesame" not in page.text
    assert "stored, leave empty to keep" in page.text
    shown = (await (await portal.key("look")).ask("GET", "/provider-accounts", status=200))["items"]
    made = next(each for each in shown if each["key"] == "second")
    assert (made["settings"]["port"], made["timeout_seconds"], made["concurrency"]) == (2525, 12.5, 5)


async def test_what_is_wrong_is_said_at_the_field(sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    wrong = SMTP | {"settings.port": "99999", "settings.sender": "nobody", "settings.host": "", "concurrency": "0"}
    answer = await browser.post("/providers/new", wrong, token=await browser.token("/account"))
    assert answer.status_code == 422
    assert 'id="field-concurrency-error"' in answer.text
    answer = await browser.post("/providers/new", wrong | {"concurrency": "5"}, token=await browser.token("/account"))
    assert answer.status_code == 422
    assert 'id="field-settings-port-error"' in answer.text
    assert 'value="99999"' in answer.text
    assert "open sesame" not in answer.text


async def test_an_empty_secret_keeps_the_stored_one(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("operator")
    typed = {**SMTP, "settings.password": "", "title": "Renamed", "version": "1"}
    answer = await browser.post(f"/providers/{world.account}", typed, token=await browser.token("/account"))
    assert answer.status_code == 303, answer.text
    page = await browser.get(f"/providers/{world.account}")
    assert "Renamed" in page.text
    assert "stored, leave empty to keep" in page.text
    late = await browser.post(f"/providers/{world.account}", typed, token=await browser.token("/account"))
    assert late.status_code == 422
    assert "changed by somebody else" in late.text


async def test_the_test_button_says_what_was_found(sign_in: SignIn, portal: PortalPeer) -> None:
    browser = await sign_in("operator")
    sandbox = str(portal.parts.accounts.sandbox("email"))
    token = await browser.token("/account")
    whole = await browser.post(f"/providers/{sandbox}/test", token=token)
    assert "The sandbox is ready" in whole.text
    part = await browser.post(f"/providers/{sandbox}/test", token=token, hx_request="true")
    assert part.text.strip().startswith('<div id="check"')


@pytest.mark.databases(*KINDS)
async def test_the_order_of_a_route_is_changed_step_by_step(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("operator")
    token = await browser.token("/account")
    await browser.post("/providers/new", SMTP, token=token)
    accounts = {each.key: each.id for each in portal.parts.accounts.all()}
    for key in ("smtp-main", "second"):
        given = {"channel": "email", "account_id": str(accounts[key])}
        assert (await browser.post("/providers/routes", given, token=token)).status_code == 303
    assert portal.parts.accounts.route("email") == [accounts["smtp-main"], accounts["second"]]
    steps = (await (await portal.key("look")).ask("GET", "/routes", status=200))["items"]
    last = next(each["id"] for each in steps if each["account_id"] == str(accounts["second"]))
    await browser.post(f"/providers/routes/{last}/up", token=token)
    assert portal.parts.accounts.route("email") == [accounts["second"], accounts["smtp-main"]]
    await browser.post(f"/providers/routes/{last}/down", token=token)
    await browser.post(f"/providers/routes/{last}/off", token=token)
    assert portal.parts.accounts.route("email") == [accounts["smtp-main"]]
    await browser.post(f"/providers/routes/{last}/remove", token=token)
    assert "not on the route" in (await browser.get("/providers")).text


async def test_an_application_gets_an_order_of_its_own(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("operator")
    shop = (await portal.key("shop")).actor.application_id
    given = {"channel": "email", "account_id": world.account, "application_id": str(shop)}
    await browser.post("/providers/routes", given, token=await browser.token("/account"))
    assert [str(each) for each in portal.parts.accounts.route("email", shop)] == [world.account]
    assert portal.parts.accounts.route("email") == [portal.parts.accounts.sandbox("email")]
    assert "Only for shop" in (await browser.get("/providers")).text
    wrong = {"channel": "email", "account_id": "nonsense"}
    assert (await browser.post("/providers/routes", wrong, token=await browser.token("/account"))).status_code == 400


async def test_an_account_is_disabled_and_removed(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("operator")
    token = await browser.token("/account")
    await browser.post(f"/providers/{world.account}/enable", {"enabled": "false"}, token=token)
    assert "disabled" in (await browser.get(f"/providers/{world.account}")).text
    await browser.post(f"/providers/{world.account}/remove", token=token)
    assert (await browser.get(f"/providers/{world.account}")).status_code == 404
