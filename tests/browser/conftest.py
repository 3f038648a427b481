"""The whole portal behind a real server in this process, and a browser that is signed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import msgspec
import pytest
from granian.constants import Interfaces
from granian.server.embed import Server

from portal.identity import create_user
from portal.settings import Settings
from tests.portal_peer import PortalPeer, open_portal
from tests.services import free_port

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture
async def portal(database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PortalPeer]:
    """The portal at `settings.base_url`; its lifespan is run by the peer, not by the server."""
    settings = msgspec.structs.replace(settings, port=free_port())
    async with open_portal(settings, monkeypatch) as peer:
        server = Server(peer.app, address="127.0.0.1", port=settings.port, interface=Interfaces.ASGINL)
        serving = asyncio.create_task(server.serve())
        await _until_it_listens(settings.port)
        yield peer
        server.stop()
        await asyncio.wait({serving}, timeout=5)


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


@pytest.fixture
def sign_in(portal: PortalPeer) -> Callable[..., Awaitable[None]]:
    """`await sign_in(page, "admin")`: by a one-time link, as a person does."""

    async def by_link(page: Any, *roles: str) -> None:
        path = await create_user(portal.db, f"{'-'.join(roles)}@example.com", roles, name="Ada Byron")
        await page.goto(portal.settings.base_url + path)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/account")

    return by_link


@pytest.fixture
def check_axe() -> Callable[[Any], Awaitable[list[str]]]:
    """`await check_axe(page)`: the rules of accessibility that the page breaks, each with the first element."""

    async def check(page: Any) -> list[str]:
        # By the debugging protocol, because the page's own policy rightly refuses a script from elsewhere.
        session = await page.context.new_cdp_session(page)
        await session.send("Runtime.evaluate", {"expression": AXE})
        found = await page.evaluate(f"axe.run({{runOnly: {RULES!r}}})")
        return [f"{broken['id']}: {broken['nodes'][0]['html'][:200]}" for broken in found["violations"]]

    return check
