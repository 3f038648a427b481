"""What holds for every page: who may open it, that looking changes nothing, that what people wrote is escaped."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import select

from portal.access.roles import ROLES
from portal.app import create_framework
from portal.db import Base
from portal.settings import Settings
from portal.web.guards import SAFE_METHODS, GuardedRoute, guarded_routes
from tests.integration.pages.conftest import SignIn, World
from tests.portal_peer import PortalPeer

pytestmark = pytest.mark.databases("sqlite")
MINE = ("/notifications", "/send", "/templates", "/providers", "/sandbox", "/stops")
# Parameters in addresses, by the beginning of the route they stand in.
FILLED = {
    "/notifications/{notification_id:uuid}": "sent",
    "/sandbox/{message_id:uuid}": "message",
    "/providers/{account_id:uuid}": "account",
}
# A page that needs a query to show something.
QUERIES = {
    "/send/people": "?template=order&person=ada",
    "/templates/{key:str}/versions/{n:int}/mail": "?channel=email&locale=en",
}


def _routes() -> list[GuardedRoute]:
    routes = guarded_routes(create_framework(Settings(data_dir="/nonexistent")))
    return [route for route in routes if route.path == "/" or route.path.startswith(MINE)]


GETS = [route for route in _routes() if route.method == "GET"]
POSTS = [route for route in _routes() if route.method not in {*SAFE_METHODS}]


def _address(route: GuardedRoute, world: World) -> str:
    path = route.path
    for prefix, name in FILLED.items():
        if path.startswith(prefix):
            path = path.replace(prefix, prefix.split("{")[0] + msgspec.structs.asdict(world)[name])
    path = path.replace("{key:str}", "order").replace("{n:int}", "1").replace("{move:str}", "up")
    path = path.replace("{route_id:uuid}", "00000000-0000-7000-8000-000000000000")
    return path + QUERIES.get(route.path, "")


async def _everything(portal: PortalPeer) -> dict[str, list[str]]:
    """Every row of every table."""
    async with portal.db.read() as conn:
        return {
            table.name: sorted(str(row) for row in await conn.execute(select(table)))
            for table in Base.metadata.sorted_tables
            # Single sends are counted a second late, whoever looks meanwhile.
            if table.name != "bulk_window"
        }


async def test_a_role_sees_what_it_may_and_looking_changes_nothing(
    portal: PortalPeer, sign_in: SignIn, world: World
) -> None:
    assert len(GETS) > 12
    for role, permissions in ROLES.items():
        browser = await sign_in(role)
        # The list unpacks what was accepted just now: the same notifications, lying elsewhere.
        await browser.get("/notifications" if "notifications:read" in permissions else "/account")
        before = await _everything(portal)
        for route in GETS:
            allowed = set(route.guards) <= permissions
            answer = await browser.get(_address(route, world))
            assert answer.status_code == (200 if allowed else 403), (role, route.path, answer.text[:2000])
        assert await _everything(portal) == before


async def test_nobody_changes_anything_without_the_token_of_the_page(sign_in: SignIn, world: World) -> None:
    browser = await sign_in("admin")
    assert len(POSTS) > 12
    for route in POSTS:
        answer = await browser.post(_address(route, world), token="")
        assert answer.status_code == 403, route.path
        assert "out of date" in answer.text


async def test_a_role_changes_only_what_it_may(sign_in: SignIn, world: World) -> None:
    for role in ("viewer", "approver", "designer"):
        browser = await sign_in(role)
        token = await browser.token("/account")
        for route in POSTS:
            if not set(route.guards) <= ROLES[role]:
                answer = await browser.post(_address(route, world), token=token)
                assert answer.status_code == 403, (role, route.path)


async def test_pages_work_without_scripts_and_have_no_inline_code(sign_in: SignIn, world: World) -> None:
    browser = await sign_in("admin")
    for route in GETS:
        if route.path.endswith(("/html", "/mail")):
            continue
        answer = await browser.get(_address(route, world))
        assert answer.text.startswith("<!doctype html>"), route.path
        assert "<title>" in answer.text
        assert " style=" not in answer.text
        assert " onclick=" not in answer.text
        for raw in ("<script>alert(1)", "<b>shipped", "<i>Byron", "<u>server"):
            assert raw not in answer.text, (route.path, raw)


async def test_a_mail_is_shown_in_a_frame_that_can_do_nothing(sign_in: SignIn, world: World) -> None:
    browser = await sign_in("viewer")
    page = await browser.get(f"/sandbox/{world.message}")
    assert f'sandbox="" src="/sandbox/{world.message}/html"' in page.text
    for path in (f"/sandbox/{world.message}/html", "/templates/order/versions/1/mail?channel=email&locale=en"):
        mail = await browser.get(path)
        policy = mail.headers["content-security-policy"]
        assert policy.startswith("sandbox;")
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "Dear" in mail.text
