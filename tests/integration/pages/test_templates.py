"""Writing, trying, publishing, restoring and archiving a template by plain forms."""

from __future__ import annotations

import pytest

from tests.integration.pages.conftest import SignIn, World
from tests.portal_peer import PortalPeer
from tests.services import KINDS
from tests.web_peer import Browser

pytestmark = pytest.mark.databases("sqlite")
FRAGMENT = {"hx_request": "true", "hx_request_type": "partial"}
TYPED = {
    "key": "welcome",
    "name": "Welcome",
    "category": "onboarding",
    "priority": "high",
    "parts.sms.en.text": "Hello {{ name }}, {{ greeting }}",
    "contract.variables[0].name": "name",
    "contract.variables[0].type": "string",
    "contract.variables[0].required": "true",
    "contract.variables[0].example": "Ada",
    "contract.variables[0].description": "who is welcome",
}


async def _draft(portal: PortalPeer, key: str) -> dict[str, object]:
    found: dict[str, object] = await (await portal.key("look")).ask("GET", f"/templates/{key}", status=200)
    return found


async def _create(browser: Browser, **more: str) -> None:
    answer = await browser.post("/templates/-/new", TYPED | more, token=await browser.token("/account"))
    assert answer.status_code == 303, answer.text


@pytest.mark.databases(*KINDS)
async def test_a_template_is_written_and_published(portal: PortalPeer, sign_in: SignIn) -> None:
    browser = await sign_in("designer")
    await _create(browser, action="publish")
    template = await _draft(portal, "welcome")
    assert (template["version"], template["priority"], template["category"]) == (1, "high", "onboarding")
    variables = {each["name"]: each for each in template["contract"]["variables"]}  # type: ignore[index]
    assert variables.keys() == {"name", "greeting"}
    assert (variables["name"]["type"], variables["name"]["example"]) == ("string", "Ada")
    page = await browser.get("/templates/welcome")
    assert "Published: new notifications use this version." in page.text
    assert "who is welcome" in page.text


async def test_what_was_typed_stays_when_something_is_wrong(sign_in: SignIn) -> None:
    browser = await sign_in("designer")
    wrong = TYPED | {"parts.sms.en.text": "Hello {{ name", "key": "no blanks please"}
    answer = await browser.post("/templates/-/new", wrong, token=await browser.token("/account"))
    assert answer.status_code == 422
    assert "Hello {{ name</textarea>" in answer.text
    assert 'value="no blanks please"' in answer.text
    assert 'id="field-parts-sms-en-text-error"' in answer.text
    assert "who is welcome" in answer.text


async def test_a_key_that_is_taken_is_said_at_its_field(sign_in: SignIn) -> None:
    browser = await sign_in("designer")
    await _create(browser)
    answer = await browser.post("/templates/-/new", TYPED, token=await browser.token("/account"))
    assert answer.status_code == 422
    assert 'id="field-key-error"' in answer.text


async def test_sections_are_added_and_removed_without_saving(portal: PortalPeer, sign_in: SignIn) -> None:
    browser = await sign_in("designer")
    await _create(browser)
    token = await browser.token("/account")
    adding = TYPED | {"action": "add", "add_channel": "email", "add_locale": "de", "revision": "1"}
    more = await browser.post("/templates/welcome", adding, token=token)
    assert more.status_code == 200
    assert 'name="parts.email.de.subject"' in more.text
    removing = TYPED | {"action": "remove.email.de", "parts.email.de.subject": "x", "revision": "1"}
    less = await browser.post("/templates/welcome", removing, token=token)
    assert 'name="parts.email.de.subject"' not in less.text
    assert (await _draft(portal, "welcome"))["revision"] == 1
    twice = await browser.post("/templates/welcome", adding | {"add_channel": "sms", "add_locale": "en"}, token=token)
    assert twice.status_code == 422
    assert 'id="field-add_locale-error"' in twice.text


async def test_two_designers_do_not_overwrite_each_other(sign_in: SignIn) -> None:
    browser = await sign_in("designer")
    await _create(browser)
    token = await browser.token("/account")
    first = await browser.post("/templates/welcome", TYPED | {"revision": "1", "name": "First"}, token=token)
    assert first.status_code == 303
    second = await browser.post("/templates/welcome", TYPED | {"revision": "1", "name": "Second"}, token=token)
    assert second.status_code == 422
    assert "somebody changed it meanwhile" in second.text
    assert 'value="Second"' in second.text


async def test_a_variable_that_no_part_uses_any_more_is_dropped(portal: PortalPeer, sign_in: SignIn) -> None:
    browser = await sign_in("designer")
    await _create(browser)
    changed = TYPED | {"parts.sms.en.text": "Hello {{ first_name }}", "revision": "1"}
    changed["contract.variables[0].description"] = "who is welcome"
    answer = await browser.post("/templates/welcome", changed, token=await browser.token("/account"))
    assert answer.status_code == 303, answer.text
    variables = (await _draft(portal, "welcome"))["contract"]["variables"]  # type: ignore[index]
    assert [each["name"] for each in variables] == ["first_name"]


async def test_the_preview_shows_what_is_not_saved_yet(sign_in: SignIn) -> None:
    browser = await sign_in("viewer")
    token = await browser.token("/account")
    typed = TYPED | {
        "preview": "sms.en",
        "parts.email.en.subject": "For {{ name }}",
        "parts.email.en.html": "<p>{{ x }}",
    }
    part = await browser.post("/templates/-/preview", typed, token=token, **FRAGMENT)
    assert part.text.strip().startswith('<section class="card" id="preview"')
    assert "Hello Ada, greeting" in part.text
    mail = await browser.post("/templates/-/preview/mail", typed | {"preview": "email.en"}, token=token)
    assert "<p>x" in mail.text
    assert mail.headers["content-security-policy"].startswith("sandbox;")
    broken = await browser.post(
        "/templates/-/preview", typed | {"parts.sms.en.text": "{% for"}, token=token, **FRAGMENT
    )
    assert broken.status_code == 200
    assert "With example data:" in broken.text


async def test_large_mails_in_two_languages_can_be_written(portal: PortalPeer, sign_in: SignIn) -> None:
    browser = await sign_in("designer")
    html = "<p>Hello {{ name }}</p>\n" + "<p>And so on, and on.</p>\n" * 6_000
    assert 2 * len(html) > portal.settings.max_body_bytes
    parts = {"subject": "Large", "text": "Large", "html": html}
    await _create(browser, **{f"parts.email.{locale}.{name}": parts[name] for locale in ("en", "de") for name in parts})
    stored = (await _draft(portal, "welcome"))["parts"]
    assert stored["email"]["de"]["html"] == html  # type: ignore[index]


async def test_an_old_version_becomes_the_draft_again(portal: PortalPeer, sign_in: SignIn) -> None:
    browser = await sign_in("designer")
    await _create(browser, action="publish")
    token = await browser.token("/account")
    later = TYPED | {"parts.sms.en.text": "Bye {{ name }}", "revision": "1", "action": "publish"}
    await browser.post("/templates/welcome", later, token=token)
    page = await browser.get("/templates/welcome/versions/1")
    assert "Hello Ada" in page.text
    await browser.post("/templates/welcome/versions/1/restore", token=token)
    draft = await _draft(portal, "welcome")
    assert draft["parts"]["sms"]["en"]["text"] == "Hello {{ name }}, {{ greeting }}"  # type: ignore[index]
    assert draft["version"] == 2


async def test_an_archived_template_can_be_restored(portal: PortalPeer, sign_in: SignIn, world: World) -> None:
    browser = await sign_in("designer")
    token = await browser.token("/account")
    await browser.post("/templates/order/archive", token=token)
    assert '/templates/order"' not in (await browser.get("/templates")).text
    assert '/templates/order"' in (await browser.get("/templates?archived=1")).text
    assert (await browser.get("/send?template=order")).status_code == 404
    await browser.post("/templates/order/restore", token=token)
    assert (await browser.get("/send?template=order")).status_code == 200


@pytest.mark.databases(*KINDS)
async def test_filters_narrow_the_list(sign_in: SignIn, world: World) -> None:
    browser = await sign_in("viewer")
    assert '/templates/order"' in (await browser.get("/templates?search=ORD")).text
    nothing = await browser.get("/templates?search=zzz", **FRAGMENT)
    assert nothing.text.strip().startswith('<div id="results">')
    assert "No template matches" in nothing.text
