"""Sending by hand, following, cancelling and replaying by plain forms."""

from __future__ import annotations

import pytest

from tests.integration.pages.conftest import SignIn, World
from tests.portal_peer import PortalPeer
from tests.services import KINDS

pytestmark = pytest.mark.databases("sqlite")
FRAGMENT = {"hx_request": "true", "hx_request_type": "partial"}
TO_ADA = {"template": "order", "to": "address", "channel": "email", "address": "ada@example.com", "data.name": "Ada"}


@pytest.mark.databases(*KINDS)
async def test_the_list_keeps_its_filters_in_the_address(sign_in: SignIn, world: World) -> None:
    browser = await sign_in("viewer")
    everything = await browser.get("/notifications")
    for each in (world.sent, world.skipped, world.waiting):
        assert f"/notifications/{each}" in everything.text
    part = await browser.get("/notifications?status=skipped", **FRAGMENT)
    assert part.text.strip().startswith('<div id="results"')
    assert world.skipped in part.text
    assert world.sent not in part.text
    assert "Nobody is known under this id." in part.text
    assert world.sent in (await browser.get("/notifications?reference=r-1")).text
    assert "expected a day" in (await browser.get("/notifications?since=yesterday")).text
    assert "Nothing matches" in (await browser.get("/notifications?reference=r-2")).text


async def test_the_timeline_tells_what_happened(sign_in: SignIn, world: World) -> None:
    browser = await sign_in("viewer")
    sent = await browser.get(f"/notifications/{world.sent}")
    for words in ("Accepted", "Planned", "attempt 1 at Sandbox for E-mail", "The provider accepted it"):
        assert words in sent.text
    assert "hx-trigger=" not in sent.text
    skipped = await browser.get(f"/notifications/{world.skipped}")
    assert "Nobody is known under this id." in skipped.text
    waiting = await browser.get(f"/notifications/{world.waiting}", **FRAGMENT)
    assert waiting.text.strip().startswith('<div id="state"')
    assert 'hx-trigger="every 10s"' in waiting.text


@pytest.mark.databases(*KINDS)
async def test_one_is_sent_by_hand_and_arrives(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("designer")
    token = await browser.token("/send?template=order")
    answer = await browser.post("/send", TO_ADA | {"reference": "by hand"}, token=token)
    assert answer.status_code == 303, answer.text
    await portal.deliver()
    page = await browser.get(answer.headers["location"])
    assert "A provider has accepted it." in page.text
    outbox = await browser.get("/sandbox?reference=by+hand")
    assert "Order for Ada" in outbox.text


async def test_a_second_click_sends_nothing_more(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("designer")
    form = await browser.get("/send?template=order")
    once = form.text.partition('name="once" value="')[2].partition('"')[0]
    token = await browser.token("/account")
    typed = TO_ADA | {"once": once}
    first = await browser.post("/send", typed, token=token)
    second = await browser.post("/send", typed, token=token)
    assert first.headers["location"] == second.headers["location"]
    other = await browser.post("/send", typed | {"data.name": "Bob"}, token=token)
    assert other.headers["location"] != first.headers["location"]


async def test_what_is_wrong_is_said_at_the_field_and_nothing_is_sent(sign_in: SignIn, world: World) -> None:
    browser = await sign_in("designer")
    token = await browser.token("/send?template=order")
    wrong = TO_ADA | {"address": "nobody", "data.name": "", "reference": "kept"}
    answer = await browser.post("/send", wrong, token=token)
    assert answer.status_code == 422
    assert 'id="field-address-error"' in answer.text
    assert 'id="field-data-name-error"' in answer.text
    assert 'value="nobody"' in answer.text
    assert 'value="kept"' in answer.text
    late = await browser.post("/send", TO_ADA | {"send_at": "soon"}, token=token)
    assert 'id="field-send_at-error"' in late.text
    assert "Nothing matches" in (await browser.get("/notifications?reference=kept")).text


async def test_a_person_is_found_and_chosen(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("operator")
    found = await browser.get("/send/people?template=order&person=ada", **FRAGMENT)
    assert found.text.strip().startswith('<div id="people"')
    assert world.person in found.text
    assert world.person in (await browser.get("/send/people?template=order&person=ada@example.com", **FRAGMENT)).text
    token = await browser.token("/send?template=order")
    without_script = await browser.post(
        "/send", TO_ADA | {"to": "person", "person": "Ada", "action": "find"}, token=token
    )
    assert f'name="person_id" value="{world.person}"' in without_script.text
    nobody = await browser.post("/send", TO_ADA | {"to": "person", "person": "Ada"}, token=token)
    assert 'id="field-person-error"' in nobody.text
    sent = await browser.post("/send", TO_ADA | {"to": "person", "person_id": world.person}, token=token)
    assert sent.status_code == 303


async def test_a_trial_goes_to_the_sandbox_whatever_the_route(
    portal: PortalPeer, sign_in: SignIn, world: World
) -> None:
    browser = await sign_in("operator")
    token = await browser.token("/send?template=order")
    given = {"channel": "email", "account_id": world.account}
    await browser.post("/providers/routes", given, token=token)
    answer = await browser.post("/send", TO_ADA | {"sandbox": "true", "reference": "trial"}, token=token)
    await portal.deliver()
    assert "sandbox only" in (await browser.get(answer.headers["location"])).text
    assert "Order for Ada" in (await browser.get("/sandbox?reference=trial")).text


async def test_the_preview_stands_examples_in_for_what_is_missing(sign_in: SignIn, world: World) -> None:
    browser = await sign_in("designer")
    token = await browser.token("/send?template=order")
    part = await browser.post("/send/preview", {"template": "order", "preview": "sms"}, token=token, **FRAGMENT)
    assert "Dear name, it is on its way." in part.text
    mail = await browser.post("/send/preview/mail", TO_ADA | {"preview": "email"}, token=token)
    assert "Dear Ada" in mail.text
    assert mail.headers["content-security-policy"].startswith("sandbox;")


@pytest.mark.databases(*KINDS)
async def test_what_waits_is_cancelled_and_what_ended_is_replayed_once(
    portal: PortalPeer, sign_in: SignIn, world: World
) -> None:
    browser = await sign_in("operator")
    token = await browser.token("/account")
    await browser.post(f"/notifications/{world.waiting}/cancel", token=token)
    assert "Somebody cancelled it." in (await browser.get(f"/notifications/{world.waiting}")).text
    late = await browser.post(f"/notifications/{world.sent}/cancel", token=token)
    assert late.status_code == 303
    assert "has ended already: it is sent" in (await browser.get(f"/notifications/{world.sent}")).text
    again = await browser.post(f"/notifications/{world.sent}/replay", token=token)
    assert again.headers["location"] != f"/notifications/{world.sent}"
    assert "Replay of" in (await browser.get(again.headers["location"])).text
    refused = await browser.post(f"/notifications/{world.sent}/replay", token=token)
    assert refused.headers["location"] == f"/notifications/{world.sent}"
    assert "replayed already" in (await browser.get(f"/notifications/{world.sent}")).text
    once_more = await browser.post(f"/notifications/{world.sent}/replay", {"again": "true"}, token=token)
    assert once_more.headers["location"] != f"/notifications/{world.sent}"


async def test_a_long_word_and_a_foreign_id_do_no_harm(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("viewer")
    assert (await browser.get("/notifications/00000000-0000-7000-8000-000000000000")).status_code == 404
    assert (await browser.get("/notifications?cursor=nonsense")).status_code == 400
    assert (await browser.get("/notifications?person=nonsense")).status_code == 200
    assert (await browser.get("/sandbox/00000000-0000-7000-8000-000000000000")).status_code == 404
