"""What only a browser shows: the policy holds, scripts bind, keyboard and screen reader get along."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.portal_peer import PortalPeer

pytestmark = pytest.mark.databases("sqlite")
SignIn = Callable[..., Awaitable[None]]
Axe = Callable[[Any], Awaitable[list[str]]]
PAGES = ("/account", "/users", "/keys", "/keys/new", "/audit", "/")


async def test_a_key_is_made_copied_and_revoked_after_a_question(
    page: Page, portal: PortalPeer, sign_in: SignIn
) -> None:
    await sign_in(page, "admin")
    await page.get_by_role("link", name="API keys").click()
    await page.get_by_role("link", name="New key").first.click()
    await page.get_by_role("textbox", name="Name").fill("browser test")
    await page.get_by_role("combobox", name="Application").fill("Not A Key!")
    await page.get_by_role("button", name="Create key").click()
    await expect(page.get_by_role("combobox", name="Application")).to_be_focused()
    await expect(page.get_by_text("expected small letters")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Name")).to_have_value("browser test")
    await page.get_by_role("combobox", name="Application").fill("shop")
    await page.get_by_role("button", name="Create key").click()
    await expect(page.locator(".copyable code")).to_contain_text("pp_test_")
    row = page.get_by_role("row").filter(has_text="browser test")
    await row.get_by_role("button", name="Revoke").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Revoke this key?")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(row.get_by_text("revoked")).to_have_count(0)
    await row.get_by_role("button", name="Revoke").click()
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_text("The key is revoked")).to_be_visible()
    await expect(row.get_by_text("revoked")).to_be_visible()


async def test_filters_narrow_a_list_without_a_page_load_and_stay_in_the_address(
    page: Page, portal: PortalPeer, sign_in: SignIn
) -> None:
    await sign_in(page, "admin")
    await page.goto(f"{portal.settings.base_url}/audit")
    await page.evaluate("window.stillHere = true")
    await page.get_by_label("Action").fill("template.")
    await expect(page.get_by_text("user.sign_in")).to_have_count(0)
    await page.wait_for_url("**/audit?action=template.")
    assert await page.evaluate("window.stillHere") is True
    await page.reload()
    await expect(page.get_by_label("Action")).to_have_value("template.")
    await page.get_by_role("button", name="Verify").click()
    await expect(page.locator("#verdict")).to_contain_text("The chain is whole")


async def test_the_appearance_is_chosen_and_kept(page: Page, portal: PortalPeer, sign_in: SignIn) -> None:
    await sign_in(page, "viewer")

    async def background() -> str:
        return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = await background()
    await page.get_by_role("button", name="Dark").click()
    assert await background() != light
    await page.reload()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert await background() != light
    await page.get_by_role("button", name="As the system").click()
    assert await background() == light


async def test_on_a_phone_the_menu_opens_and_closes_by_keyboard(
    browser: Browser, portal: PortalPeer, sign_in: SignIn
) -> None:
    context = await browser.new_context(viewport={"width": 360, "height": 740})
    page = await context.new_page()
    await sign_in(page, "admin")
    link = page.get_by_role("link", name="API keys")
    await expect(link).not_to_be_visible()
    await page.get_by_role("button", name="Menu").press("Enter")
    await expect(link).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(link).not_to_be_visible()
    await context.close()


async def test_the_keyboard_skips_to_the_content(page: Page, portal: PortalPeer, sign_in: SignIn) -> None:
    await sign_in(page, "viewer")
    await page.goto(f"{portal.settings.base_url}/account")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_are_accessible_and_fit(
    browser: Browser, portal: PortalPeer, sign_in: SignIn, check_axe: Axe, width: int, scheme: Any
) -> None:
    context = await browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    await page.goto(f"{portal.settings.base_url}/sign-in")
    assert await check_axe(page) == []
    await sign_in(page, "admin")
    complaints.clear()
    for path in PAGES:
        await page.goto(portal.settings.base_url + path)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        seen = list(complaints)
        assert await check_axe(page) == [], path
        # The checker's own inline styles are refused, as they should be; what the page did before must be clean.
        assert [text for text in seen if "Content Security Policy" in text] == [], path
        complaints.clear()
    await context.close()


async def test_without_script_everything_still_works(browser: Browser, portal: PortalPeer, sign_in: SignIn) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await sign_in(page, "admin")
    await page.goto(f"{portal.settings.base_url}/audit")
    await page.get_by_label("Action").fill("user.")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_text("user.sign_in").first).to_be_visible()
    await page.get_by_role("button", name="Verify").click()
    await expect(page.get_by_text("The chain is whole")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("You are signed out")).to_be_visible()
    await context.close()
