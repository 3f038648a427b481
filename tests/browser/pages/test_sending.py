"""From an empty portal to a message that arrived, as a person does it in a browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.portal_peer import PortalPeer

pytestmark = pytest.mark.databases("sqlite")
SignIn = Callable[..., Awaitable[None]]
Axe = Callable[[Any], Awaitable[list[str]]]
HTML = "<style>h1{color:#0b6b73}</style><h1>Hello {{ name }}</h1>"
HOSTILE = "<p>Hello {{ name }}</p><script>top.document.title='taken over'</script><meta http-equiv='refresh' content='0;url=/users'>"


@asynccontextmanager
async def working(portal: PortalPeer) -> AsyncIterator[None]:
    """Deliveries are worked off while this is open."""

    async def work() -> None:
        while True:
            await portal.deliver()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def write_template(page: Page, portal: PortalPeer, *, button: str = "Save and publish") -> None:
    """Write a mail and publish it."""
    await page.goto(f"{portal.settings.base_url}/templates/-/new?channel=email")
    await page.get_by_role("textbox", name="Key", exact=True).fill("welcome")
    await page.get_by_role("textbox", name="Name", exact=True).fill("Welcome to the shop")
    await page.get_by_role("textbox", name="Category").fill("onboarding")
    await page.get_by_role("textbox", name="Subject").fill("Welcome, {{ name }}")
    await page.get_by_role("textbox", name="HTML").fill(HTML)
    await page.get_by_role("button", name=button).click()


async def send_to_ada(page: Page) -> None:
    """Fill in the form of the template that is open."""
    await page.get_by_role("radio", name="An address").check()
    await page.get_by_role("textbox", name="Address", exact=True).fill("ada@example.com")
    await page.get_by_role("textbox", name="name", exact=True).fill("Ada Byron")
    await page.get_by_role("textbox", name="Reference").fill("first try")
    await page.locator("#send .save-bar").get_by_role("button", name="Send").click()


async def test_a_template_is_written_published_sent_watched_and_replayed(
    page: Page, portal: PortalPeer, sign_in: SignIn
) -> None:
    await sign_in(page, "admin")
    async with working(portal):
        await write_template(page, portal)
        await expect(page.get_by_text("Published: new notifications use this version.")).to_be_visible()
        await page.get_by_role("link", name="Send", exact=True).last.click()
        await send_to_ada(page)
        await page.wait_for_url("**/notifications/*")
        await expect(page.get_by_text("A provider has accepted it.")).to_be_visible()
        await expect(page.get_by_text("attempt 1 at Sandbox for E-mail")).to_be_visible()
        await page.get_by_role("link", name="Sandbox outbox").click()
        await page.get_by_role("link", name="ada@example.com").click()
        mail = page.frame_locator("iframe")
        await expect(mail.get_by_role("heading", name="Hello Ada Byron")).to_be_visible()
        await page.get_by_role("link", name="first try").click()
        await page.go_back()
        await page.locator("dd a[href^='/notifications/']").click()
        await page.get_by_role("button", name="Replay").click()
        await expect(page.get_by_text("Sent again, as a new notification.")).to_be_visible()
        await expect(page.get_by_text("A provider has accepted it.")).to_be_visible()
        await expect(page.get_by_text("Replay of", exact=True)).to_be_visible()
        await page.get_by_role("link", name="Sandbox outbox").click()
        await expect(page.get_by_role("link", name="ada@example.com")).to_have_count(2)


async def test_the_preview_follows_the_keyboard(page: Page, portal: PortalPeer, sign_in: SignIn) -> None:
    await sign_in(page, "designer")
    await write_template(page, portal, button="Save draft")
    await expect(page.get_by_text("Draft saved")).to_be_visible()
    mail = page.frame_locator("#preview iframe")
    await expect(mail.get_by_role("heading", name="Hello name")).to_be_visible()
    length = await page.evaluate("history.length")
    await page.get_by_role("textbox", name="Subject").fill("Hello again, {{ first }}")
    await expect(page.locator("#preview dd")).to_have_text("Hello again, first")
    await page.get_by_role("textbox", name="HTML").fill("<h2>Now {{ first }}</h2>")
    await expect(mail.get_by_role("heading", name="Now first")).to_be_visible()
    assert await page.evaluate("history.length") == length, "a preview must not stand between two pages"
    await page.get_by_label("Channel", exact=True).select_option("sms")
    await page.get_by_role("textbox", name="Language").fill("en")
    await page.get_by_role("button", name="Add").click()
    await page.get_by_role("textbox", name="Text").last.fill("A short {{ first }}")
    await page.get_by_label("Section to preview").select_option("sms.en")
    await expect(page.locator("#preview .bubble")).to_have_text("A short first")
    await page.get_by_role("textbox", name="Text").last.fill("{% for")
    await expect(page.locator("#preview").get_by_text("With example data:")).to_be_visible()


async def test_a_hostile_mail_stays_in_its_frame(browser: Browser, portal: PortalPeer, sign_in: SignIn) -> None:
    shop = await portal.key("shop")
    mail = {"email": {"en": {"subject": "Hello", "html": HOSTILE}}}
    await shop.ask("POST", "/templates", {"key": "hostile", "parts": mail, "publish": True}, status=201)
    await portal.parts.revisions.poll()
    to = {"channel": "email", "address": "ada@example.com"}
    await shop.send(template="hostile", to=to, data={"name": "<img src=x onerror=alert(1)>"})
    await portal.deliver()
    page = await browser.new_page()
    await sign_in(page, "viewer")
    await page.goto(f"{portal.settings.base_url}/sandbox")
    await page.get_by_role("link", name="ada@example.com").click()
    await expect(page.frame_locator("iframe").get_by_text("Hello <img")).to_be_visible()
    await page.wait_for_load_state("networkidle")
    assert "taken over" not in await page.title()
    assert [frame.url for frame in page.frames if "/users" in frame.url] == []
    await page.close()


async def test_a_person_is_found_while_typing(page: Page, portal: PortalPeer, sign_in: SignIn) -> None:
    shop = await portal.key("shop")
    address = {"channel": "sms", "value": "+14155550123"}
    await shop.ask("POST", "/people", {"name": "Grace Hopper", "addresses": [address]}, status=201)
    await sign_in(page, "operator")
    async with working(portal):
        await page.goto(f"{portal.settings.base_url}/send?template=code")
        await page.get_by_role("searchbox").fill("gra")
        await page.get_by_role("radio", name="Grace Hopper").check()
        await page.get_by_role("textbox", name="code", exact=True).fill("4711")
        await expect(page.locator("#preview .bubble")).to_have_text("Your code is 4711")
        await page.locator("#send .save-bar").get_by_role("button", name="Send").click()
        await expect(page.get_by_text("A provider has accepted it.")).to_be_visible()
        await expect(page.get_by_text("+14155550123").first).to_be_visible()


async def test_the_start_page_refreshes_itself_and_stops_a_lane(
    page: Page, portal: PortalPeer, sign_in: SignIn
) -> None:
    await sign_in(page, "operator")
    await page.goto(portal.settings.base_url)
    await page.get_by_text("Stop something").click()
    await page.get_by_role("combobox", name="What").select_option("lane:medium")
    await page.get_by_role("textbox", name="Reason").fill("maintenance")
    await page.get_by_role("button", name="Stop", exact=True).click()
    await expect(page.locator(".banner")).to_contain_text("maintenance")
    await page.evaluate("window.stillHere = true")
    await (await portal.key("shop")).send()
    waiting = page.get_by_role("row").filter(has_text="medium").get_by_role("cell").first
    await expect(waiting).to_have_text("1", timeout=15_000)
    assert await page.evaluate("window.stillHere") is True
    await page.get_by_role("button", name="Release").click()
    await expect(page.get_by_text("What waited goes on now.")).to_be_visible()
    await expect(page.locator(".banner")).to_have_count(0)


async def test_the_test_button_answers_in_place(page: Page, portal: PortalPeer, sign_in: SignIn) -> None:
    await sign_in(page, "operator")
    await page.goto(f"{portal.settings.base_url}/providers/{portal.parts.accounts.sandbox('sms')}")
    await page.evaluate("window.stillHere = true")
    await page.get_by_role("button", name="Test").click()
    await expect(page.locator("#check")).to_contain_text("The sandbox is ready")
    assert await page.evaluate("window.stillHere") is True


async def test_without_script_a_message_is_sent_as_well(browser: Browser, portal: PortalPeer, sign_in: SignIn) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await sign_in(page, "admin")
    await write_template(page, portal)
    await page.goto(f"{portal.settings.base_url}/send?template=welcome")
    await page.get_by_role("radio", name="An address").check()
    await page.get_by_role("textbox", name="Address", exact=True).fill("not an address")
    await page.get_by_role("textbox", name="name", exact=True).fill("Ada Byron")
    await page.locator("#send .save-bar").get_by_role("button", name="Send").click()
    await expect(page.get_by_text("Nothing was sent.")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Address", exact=True)).to_have_value("not an address")
    await send_to_ada(page)
    await portal.deliver()
    await page.reload()
    await expect(page.get_by_text("A provider has accepted it.")).to_be_visible()
    await page.goto(f"{portal.settings.base_url}/notifications")
    await page.get_by_label("Status").select_option("skipped")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    await context.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1440, "light")])
async def test_pages_are_accessible_fit_and_keep_the_policy(
    browser: Browser, portal: PortalPeer, sign_in: SignIn, check_axe: Axe, width: int, scheme: Any
) -> None:
    paths = await _world(portal)
    context = await browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await sign_in(page, "admin")
    for path in paths:
        complaints.clear()
        await page.goto(portal.settings.base_url + path)
        await page.wait_for_load_state("networkidle")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        # The checker's own inline styles are refused, as they should be; what the page did before must be clean.
        assert complaints == [], path
        assert await check_axe(page) == [], path
    await context.close()


async def _world(portal: PortalPeer) -> list[str]:
    """Addresses of pages with something in them, very long texts above all."""
    shop = await portal.key("shop")
    long = "endless" * 25
    mail = {"email": {"en": {"subject": f"For {{{{ name }}}} {long}", "html": HTML}}, "sms": {"en": {"text": long}}}
    await shop.ask("POST", "/templates", {"key": "k" * 90, "name": long, "parts": mail, "publish": True}, status=201)
    account = {
        "key": "broken",
        "title": long,
        "channel": "sms",
        "provider": "sandbox",
        "settings": {"permanent_rate": 1},
    }
    made = await shop.ask("POST", "/provider-accounts", account, status=201)
    await shop.ask("POST", "/routes", {"channel": "sms", "account_id": made["id"], "position": 1}, status=201)
    await portal.parts.revisions.poll()
    to = {"channel": "email", "address": f"{'a' * 60}@{'b' * 60}.example.com"}
    sent = await shop.send(template="k" * 90, to=to, data={"name": long}, reference="r" * 200)
    failed = [await shop.send() for _ in range(6)][-1]
    await portal.deliver()
    kept = await shop.ask("GET", "/sandbox/messages", status=200)
    return [
        "/", "/notifications", "/notifications?status=failed", "/notifications?reference=none", f"/notifications/{sent}",
        f"/notifications/{failed}", "/send", f"/send?template={'k' * 90}&examples=1", "/templates", "/templates?search=zz",
        f"/templates/{'k' * 90}", f"/templates/{'k' * 90}/versions/1", "/templates/-/new", "/providers", "/providers/new",
        "/providers/new?channel=email&provider=smtp", f"/providers/{made['id']}", "/sandbox",
        f"/sandbox/{kept['items'][0]['id']}",
    ]  # fmt: skip
