"""The whole portal with something in it, and browsers that are signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import msgspec
import pytest
from sqlalchemy import insert

from portal.access import RoleGrant, User
from portal.db import new_id
from portal.settings import Settings
from portal.web.sessions import start_session
from tests.portal_peer import PortalPeer, open_portal
from tests.web_peer import Browser

ORDER = {
    "key": "order",
    "name": "Order <b>shipped</b>",
    "category": "orders",
    "publish": True,
    "parts": {
        "email": {"en": {"subject": "Order for {{ name }}", "html": "<p>Dear {{ name }}</p>"}},
        "sms": {"en": {"text": "Dear {{ name }}, it is on its way."}},
    },
}
SignIn = Callable[[str], Awaitable[Browser]]


class World(msgspec.Struct):
    """What is in the portal: ids as they stand in addresses."""

    sent: str
    skipped: str
    waiting: str
    message: str
    account: str
    person: str


@pytest.fixture
async def portal(database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PortalPeer]:
    """The application; no worker runs beside it."""
    async with open_portal(settings, monkeypatch) as peer:
        yield peer


@pytest.fixture
def sign_in(portal: PortalPeer) -> SignIn:
    """`await sign_in("viewer")`: a browser without scripts, with a session of a user who has this role."""

    async def signed_in(role: str) -> Browser:
        user_id = new_id()
        async with portal.db.write() as conn:
            await conn.execute(insert(User).values(id=user_id, email=f"{user_id}@example.com", name=f"The {role}"))
            await conn.execute(insert(RoleGrant).values(user_id=user_id, role=role))
            identifier = await start_session(conn, user_id, method="password")
        browser = Browser(_as_web(portal), _http(portal))
        browser.put_session(identifier)
        return browser

    return signed_in


@pytest.fixture
async def world(portal: PortalPeer) -> World:
    """A template, a person, an account, and notifications that were sent, skipped and not due yet."""
    shop = await portal.key("shop")
    await shop.ask("POST", "/templates", ORDER, status=201)
    address = {"channel": "email", "value": "ada@example.com"}
    person = await shop.ask("POST", "/people", {"name": "Ada <i>Byron</i>", "addresses": [address]}, status=201)
    account = {"key": "smtp-main", "title": "Mail <u>server</u>", "channel": "email", "provider": "smtp"}
    settings = {"host": "mail.example.com", "sender": "shop@example.com", "password": "open sesame"}
    made = await shop.ask("POST", "/provider-accounts", {**account, "settings": settings}, status=201)
    await portal.parts.revisions.poll()
    data = {"name": "<script>alert(1)</script>"}
    order: dict[str, Any] = {"template": "order", "data": data}
    by_mail = {"channel": "email", "address": "ada@example.com"}
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    sent = await shop.send(**order, to=by_mail, reference="r-1")
    skipped = await shop.send(**order, to={"person_id": str(new_id())})
    waiting = await shop.send(**order, to=by_mail, send_at=tomorrow)
    await portal.deliver()
    kept = await shop.ask("GET", "/sandbox/messages", status=200)
    return World(
        sent=str(sent),
        skipped=str(skipped),
        waiting=str(waiting),
        message=kept["items"][0]["id"],
        account=made["id"],
        person=person["id"],
    )


def _http(portal: PortalPeer) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=portal.app, raise_app_exceptions=False, client=("192.0.2.1", 1234))
    return httpx2.AsyncClient(transport=transport, base_url=portal.settings.base_url, headers={"accept": "text/html"})


def _as_web(portal: PortalPeer) -> Any:
    """A browser asks its peer for the settings only."""
    return portal
