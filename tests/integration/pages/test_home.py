"""The start page and the stop buttons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from portal.web.models import Session
from tests.integration.pages.conftest import SignIn, World
from tests.portal_peer import PortalPeer
from tests.services import KINDS

pytestmark = pytest.mark.databases("sqlite")
FRAGMENT = {"hx_request": "true", "hx_request_type": "partial"}


async def test_a_new_portal_says_what_to_do_first(portal: PortalPeer, sign_in: SignIn) -> None:
    page = await (await sign_in("admin")).get("/")
    assert "Nothing was sent yet" in page.text
    assert "All is well" in page.text or "degraded" in page.text


@pytest.mark.databases(*KINDS)
async def test_the_balance_adds_up_and_refreshes_alone(sign_in: SignIn, world: World) -> None:
    browser = await sign_in("viewer")
    part = await browser.get("/", **FRAGMENT)
    assert part.text.strip().startswith('<div id="live"')
    assert "Difference" in part.text
    assert "Stop something" not in (await browser.get("/")).text


@pytest.mark.databases(*KINDS)
async def test_a_lane_is_stopped_with_a_reason_and_released(portal: PortalPeer, sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    token = await browser.token("/")
    refused = await browser.post("/stops", {"what": "lane:low", "reason": "  "}, token=token)
    assert refused.status_code == 422
    assert "say why" in refused.text
    assert '<option value="lane:low" selected>' in refused.text
    done = await browser.post("/stops", {"what": "lane:low", "reason": "the printer <burns>"}, token=token)
    assert done.status_code == 303
    page = await browser.get("/")
    assert "the printer &lt;burns&gt;" in page.text
    assert "The low lane is stopped: the printer" in page.text
    assert "Release" in page.text
    assert "Lane: low</option>" not in page.text
    assert portal.parts.stops.lane("low")
    await browser.post("/stops/release", {"kind": "lane", "key": "low"}, token=token)
    assert not portal.parts.stops.lane("low")


async def test_only_what_is_offered_can_be_stopped(portal: PortalPeer, sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    answer = await browser.post(
        "/stops", {"what": "application:nonsense", "reason": "x"}, token=await browser.token("/")
    )
    assert answer.status_code == 422
    assert portal.parts.stops.entries == []


async def test_a_page_that_refreshes_itself_does_not_keep_a_session_alive(portal: PortalPeer, sign_in: SignIn) -> None:
    browser = await sign_in("viewer")
    earlier = datetime.now(UTC) - timedelta(hours=3)

    async def last_seen() -> datetime:
        async with portal.db.read() as conn:
            return (await conn.execute(select(Session.last_seen_at))).scalar_one()

    async with portal.db.write() as conn:
        await conn.execute(update(Session).values(last_seen_at=earlier))
    assert (await browser.get("/", **FRAGMENT, x_refresh="1")).status_code == 200
    assert await last_seen() < earlier + timedelta(minutes=1)
    await browser.get("/", **FRAGMENT)
    assert await last_seen() > earlier + timedelta(hours=2)
