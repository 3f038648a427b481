"""Templates through the JSON API, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import func, select

from portal.audit.models import AuditEntry
from portal.db import Database, Revisions
from portal.message_templates import Templates
from portal.message_templates.api import api_router
from portal.settings import Settings
from tests.api_peer import ApiPeer, api

SMS = {"key": "otp", "name": "One-time code", "parts": {"sms": {"en": {"text": "Your code is {{ code }}"}}}}
MAIL = {
    "key": "order-shipped",
    "name": "Order shipped",
    "category": "orders",
    "priority": "high",
    "parts": {
        "email": {
            "en": {
                "subject": "Order {{ number }} is on its way",
                "html": "<style>p{color:red}</style><p>Dear {{ name|default('customer') }}</p>"
                "<table>{% for line in lines %}<tr><td>{{ line.title }}</td></tr>{% endfor %}</table>",
            },
            "zh-Hans": {"subject": "订单 {{ number }} 已发货", "text": "您好 {{ name|default('') }}"},
        }
    },
}


@pytest.fixture
async def peer(settings: Settings, db: Database) -> AsyncIterator[ApiPeer]:
    async with api(settings, db, [api_router]) as made:
        yield made


async def test_a_template_is_created_published_and_found(peer: ApiPeer, db: Database) -> None:
    made = await peer.ask("POST", "/templates", {**MAIL, "publish": True}, status=201)
    assert (made["key"], made["version"], made["channels"]) == ("order-shipped", 1, ["email"])
    entry = peer.templates.find("order-shipped")
    assert entry is not None
    assert (entry.category, entry.priority, entry.channels) == ("orders", "high", frozenset({"email"}))
    assert entry.contract.check({"number": 7, "lines": [{"title": "Tea"}]}) == {}
    assert entry.contract.check({"numbr": 7, "lines": [{"title": ["Tea"]}]}) == {
        "data.number": "expected a text, a number or true/false, and it is missing",
        "data.numbr": "the template has no such variable; did you mean number?",
        "data.lines[0].title": "expected a text, a number or true/false, got a list",
    }
    version = await peer.templates.version(entry.version_id)
    assert version is not None
    data = {"number": 7, "lines": [{"title": "<Tea>"}], "name": "Ada"}
    parts = peer.renderer.render(version, "email", "en-GB", data)
    assert parts["subject"] == "Order 7 is on its way"
    assert '<p style="color: red;">Dear Ada</p>' in parts["html"]
    assert "&lt;Tea&gt;" in parts["html"]
    assert parts["text"] == "Dear Ada\n\n<Tea>\n"
    assert peer.renderer.render(version, "email", "zh-Hans-CN", data)["subject"] == "订单 7 已发货"
    assert peer.renderer.render(version, "email", "zh-CN", data)["subject"] == "订单 7 已发货"
    assert peer.renderer.render(version, "email", "fr", data)["subject"] == "Order 7 is on its way"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (
            {"parts": {"email": {"en": {"subjct": "Hi", "text": "Hi"}}}},
            ["parts.email.en.subjct", "parts.email.en.subject"],
        ),
        ({"parts": {"emial": {"en": {"text": "Hi"}}}}, ["parts.emial"]),
        ({"parts": {}}, ["parts"]),
        ({"parts": {"sms": {}}}, ["parts.sms"]),
        ({"parts": {"sms": {"english!": {"text": "Hi"}}}}, ["parts.sms.english!"]),
        ({"parts": {"sms": {"zh-CN": {"text": "Hi"}, "zh_cn": {"text": "Hi"}}}}, ["parts.sms.zh_cn"]),
        ({"parts": {"sms": {"en": {"text": " "}}}}, ["parts.sms.en.text"]),
        ({"parts": {"sms": {"en": {"text": "a\0b"}}}}, ["parts.sms.en.text"]),
        ({"parts": {"sms": {"en": {"text": "Hi {{ name"}}}}, ["parts.sms.en.text"]),
        ({"parts": {"sms": {"en": {"text": "{{ x.__class__ }}"}}}}, ["parts.sms.en.text"]),
        ({"parts": {"email": {"en": {"subject": "two\nlines", "text": "Hi"}}}}, ["parts.email.en.subject"]),
        ({"parts": {"email": {"en": {"subject": "Hi"}}}}, ["parts.email.en.text"]),
        ({"parts": {"email": {"en": {"subject": "Hi", "mjml": "<mjml"}}}}, ["parts.email.en.mjml"]),
        ({"default_locale": "fr"}, ["default_locale"]),
        ({"contract": []}, ["contract"]),
        ({"contract": [{"name": "code", "type": "date", "example": "soon"}]}, ["contract.variables[0].example"]),
        ({"contract": [{"name": "code"}, {"name": "code"}]}, ["contract.variables[1].name"]),
    ],
)
async def test_a_template_that_cannot_work_is_refused_by_field_and_leaves_nothing(
    peer: ApiPeer, db: Database, change: dict[str, Any], fields: list[str]
) -> None:
    problems = await peer.problems("POST", "/templates", {**SMS, "publish": True, **change})
    assert sorted(problems) == sorted(fields)
    assert all(problems.values())
    await peer.ask("GET", "/templates/otp", status=404)
    async with db.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(AuditEntry))).scalar() == 0


@pytest.mark.databases("sqlite")
async def test_what_was_expected_is_said_with_the_nearest_name(peer: ApiPeer) -> None:
    wrong = {**SMS, "parts": {"email": {"en": {"subjct": "Hi"}}}}
    problems = await peer.problems("POST", "/templates", wrong)
    assert problems["parts.email.en.subjct"] == (
        "there is no part of email called subjct; expected one of html, mjml, subject, text; did you mean subject?"
    )


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "body",
    [
        {**SMS, "kee": "x"},
        {"name": "x", "parts": SMS["parts"]},
        {**SMS, "key": "no blanks"},
        {**SMS, "key": ""},
        {**SMS, "priority": "urgent"},
        {**SMS, "parts": {"sms": "text"}},
        [],
    ],
)
async def test_a_body_of_another_shape_is_refused(peer: ApiPeer, body: Any) -> None:
    found = await peer.ask("POST", "/templates", body, status=400)
    assert found["code"] == "invalid_input"


async def test_a_key_is_given_once(peer: ApiPeer) -> None:
    first, second = await asyncio.gather(
        *(peer.client.post("/api/v1/templates", json={**SMS, "publish": True}) for _ in range(2))
    )
    assert sorted([first.status_code, second.status_code]) == [201, 409]
    refused = first if first.status_code == 409 else second
    assert refused.json()["code"] == "template_exists"


async def test_a_draft_changes_without_touching_what_is_published(peer: ApiPeer) -> None:
    made = await peer.ask("POST", "/templates", {**SMS, "publish": True}, status=201)
    text = {"parts": {"sms": {"en": {"text": "Code: {{ code }}, valid {{ minutes }} min"}}}}
    stale = {"if_match": f'"{made["revision"] + 1}"'}
    await peer.ask("PATCH", "/templates/otp", text, status=412, **stale)
    changed = await peer.ask("PATCH", "/templates/otp", text, status=200, if_match=f'"{made["revision"]}"')
    assert (changed["version"], changed["revision"]) == (1, made["revision"] + 1)
    assert [variable["name"] for variable in changed["contract"]["variables"]] == ["code", "minutes"]
    entry = peer.templates.find("otp")
    assert entry is not None
    assert entry.contract.check({"code": "1"}) == {}
    published = await peer.ask("POST", "/templates/otp/publish", status=200)
    assert published["version"] == 2
    entry = peer.templates.find("otp")
    assert entry is not None
    assert list(entry.contract.check({"code": "1"})) == ["data.minutes"]
    history = await peer.ask("GET", "/templates/otp/versions", status=200)
    assert [each["version"] for each in history] == [2, 1]
    first = await peer.ask("GET", "/templates/otp/versions/1", status=200)
    assert first["parts"] == SMS["parts"]
    await peer.ask("GET", "/templates/otp/versions/3", status=404)


async def test_an_edited_contract_is_kept_while_its_variables_are_used(peer: ApiPeer) -> None:
    contract = [{"name": "code", "type": "integer", "description": "six digits", "example": 123456}]
    made = await peer.ask("POST", "/templates", {**SMS, "contract": contract}, status=201)
    assert made["version"] is None
    assert made["contract"]["variables"][0]["type"] == "integer"
    change = {"parts": {"sms": {"en": {"text": "{{ code }} {{ who }}"}}}}
    changed = await peer.ask("PATCH", "/templates/otp", change, status=200)
    by_name = {variable["name"]: variable for variable in changed["contract"]["variables"]}
    assert by_name["code"]["description"] == "six digits"
    assert "who" in by_name
    again = await peer.ask("PATCH", "/templates/otp", {"contract": None}, status=200)
    assert "description" not in again["contract"]["variables"][0]


async def test_put_replaces_everything(peer: ApiPeer) -> None:
    await peer.ask("POST", "/templates", {**MAIL, "publish": True}, status=201)
    whole = {"name": "Shipped", "parts": SMS["parts"], "publish": True}
    changed = await peer.ask("PUT", "/templates/order-shipped", whole, status=200)
    assert (changed["name"], changed["category"], changed["priority"]) == ("Shipped", None, None)
    assert (changed["channels"], changed["version"]) == (["sms"], 2)


async def test_an_archived_template_is_found_by_nobody_until_it_is_restored(peer: ApiPeer) -> None:
    await peer.ask("POST", "/templates", {**SMS, "publish": True}, status=201)
    await peer.ask("DELETE", "/templates/otp", status=204)
    await peer.ask("DELETE", "/templates/otp", status=204)
    assert peer.templates.find("otp") is None
    assert await peer.templates.resolve("otp") is None
    assert (await peer.ask("GET", "/templates", status=200))["items"] == []
    assert len((await peer.ask("GET", "/templates?archived=true", status=200))["items"]) == 1
    await peer.ask("PATCH", "/templates/otp", {"name": "x"}, status=409)
    await peer.ask("POST", "/templates/otp/publish", status=409)
    await peer.ask("POST", "/templates", SMS, status=409)
    await peer.ask("PATCH", "/templates/otp", {"archived": False}, status=200)
    assert peer.templates.find("otp") is not None


async def test_lists_page_by_key_and_search(peer: ApiPeer) -> None:
    for number in range(5):
        await peer.ask("POST", "/templates", {**SMS, "key": f"otp-{number}", "name": f"Code {number}%"}, status=201)
    found, cursor = [], ""
    for _ in range(3):
        page = await peer.ask("GET", f"/templates?limit=2&cursor={cursor}", status=200)
        found += [item["key"] for item in page["items"]]
        cursor = page["next"]
    assert found == [f"otp-{number}" for number in (4, 3, 2, 1, 0)]
    assert cursor == ""
    assert [item["key"] for item in (await peer.ask("GET", "/templates?search=CODE 3", status=200))["items"]] == [
        "otp-3"
    ]
    assert (await peer.ask("GET", "/templates?search=_", status=200))["items"] == []


async def test_a_preview_shows_the_parts_or_says_what_is_wrong(peer: ApiPeer) -> None:
    await peer.ask("POST", "/templates", MAIL, status=201)
    path = "/templates/order-shipped/preview"
    shown = await peer.ask("POST", path, {"channel": "email", "locale": "zh"}, status=200)
    assert (shown["locale"], shown["problems"]) == ("zh-Hans", {})
    assert shown["parts"]["subject"] == "订单 number 已发货"
    wrong = await peer.ask("POST", path, {"channel": "email", "data": {}}, status=200)
    assert {"data.number", "data.lines", "subject", "html", "text"} == set(wrong["problems"])
    assert "number" in wrong["problems"]["subject"]
    assert "line 1" in wrong["problems"]["subject"]
    unsaved = {"channel": "sms", "parts": {"text": "{{ 1 + }}"}}
    assert list((await peer.ask("POST", path, unsaved, status=200))["problems"]) == ["text"]
    good = {"channel": "sms", "parts": {"text": "Hello"}}
    measured = await peer.ask("POST", path, good, status=200)
    assert measured["measure"]["amount"] == 1
    await peer.ask("POST", path, {"channel": "sms"}, status=400)


async def test_every_change_is_in_the_audit(peer: ApiPeer, db: Database) -> None:
    await peer.ask("POST", "/templates", {**SMS, "publish": True}, status=201)
    await peer.ask("PATCH", "/templates/otp", {"name": "Code"}, status=200)
    await peer.ask("POST", "/templates/otp/publish", status=200)
    await peer.ask("DELETE", "/templates/otp", status=204)
    async with db.read() as conn:
        entries = (await conn.execute(select(AuditEntry.action, AuditEntry.target).order_by(AuditEntry.id))).all()
    assert [tuple(entry) for entry in entries] == [
        (f"template.{verb}", "template/otp") for verb in ("create", "update", "publish", "archive")
    ]


async def test_a_key_without_the_scope_is_refused(settings: Settings, db: Database) -> None:
    async with api(settings, db, [api_router], scopes=["templates:read"]) as peer:
        await peer.ask("GET", "/templates", status=200)
        await peer.ask("POST", "/templates", SMS, status=403)


async def test_another_process_learns_of_a_publish_from_the_revision_and_of_a_new_key_at_once(
    peer: ApiPeer, db: Database
) -> None:
    revisions = Revisions(db)
    other = Templates(db, revisions)
    await revisions.poll()
    assert await asyncio.gather(*(other.resolve("otp") for _ in range(20))) == [None] * 20
    await peer.ask("POST", "/templates", {**SMS, "publish": True}, status=201)
    assert other.find("otp") is None
    await revisions.poll()
    entry = other.find("otp")
    assert entry is not None
    await peer.ask("POST", "/templates/otp/publish", status=200)
    await revisions.poll()
    newer = other.find("otp")
    assert newer is not None
    assert (entry.n, newer.n) == (1, 2)
    fresh = Templates(db, Revisions(db))
    found = await asyncio.gather(*(fresh.resolve("otp") for _ in range(20)))
    assert {each.n for each in found if each is not None} == {2}
    versions = await fresh.versions([entry.version_id, newer.version_id])
    assert {version.n for version in versions.values()} == {1, 2}
