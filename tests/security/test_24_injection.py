"""Row 24: SQL, sort-column and path injection. Hostile texts through every parameter, on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import inspect

from portal.settings import Settings
from tests.portal_peer import Client, PortalPeer, one, open_portal

CORPUS = (
    "' OR '1'='1", "'; DROP TABLE notification; --", '" OR ""="', "') UNION SELECT sha256 FROM api_key --",
    "1; SELECT pg_sleep(5)", "' AND SLEEP(5) -- ", "\\' OR 1=1 #", "%", "_%_", "%' ESCAPE '\\", "${jndi:ldap://x}", "{{7*7}}",
    "$.a[*]", "id; DESC", "created_at DESC, (SELECT 1)", "\ufeffx", "\u02bc OR 1=1", "\u0130", ":name", "%(name)s", "?",
    "x" * 5000,
)  # fmt: skip
LISTS = {
    "/notifications": (
        "priority", "status", "channel", "template", "category", "group", "person", "reference", "application", "limit",
        "cursor", "created_from", "metadata.order", "sort", "order_by",
    ),
    "/sandbox/messages": ("reference", "notification_id", "channel", "cursor", "limit"),
    "/people": ("search", "source", "external_id", "channel", "address", "group_id", "cursor"),
    "/groups": ("search", "cursor"),
    "/templates": ("search", "category", "cursor"),
}  # fmt: skip
PATHS = (
    "/notifications/{}", "/notifications/{}/cancel", "/people/{}", "/groups/{}", "/templates/{}", "/categories/{}",
    "/attachments/{}", "/stops/{}/x", "/stops/lane/{}", "/provider-accounts/{}",
)  # fmt: skip


@pytest.fixture
async def portal(database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PortalPeer]:
    """The whole application."""
    async with open_portal(settings, monkeypatch) as peer:
        yield peer


@pytest.fixture
async def shop(portal: PortalPeer) -> Client:
    """A key of an application that has one notification."""
    client = await portal.key("shop")
    await client.send(reference="mine", metadata={"order": "7"})
    await portal.deliver()
    return client


async def tables(portal: PortalPeer) -> set[str]:
    """The names of the tables."""
    async with portal.db.engine.connect() as conn:
        return set(await conn.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_hostile_filters_find_nothing_and_break_nothing(portal: PortalPeer, shop: Client) -> None:
    before = await tables(portal)
    everything = len((await shop.ask("GET", "/notifications", status=200))["items"])
    assert everything == 1
    # A key of another application asks: whatever it finds of ours came through a hole.
    stranger = await portal.key("stranger")
    for path, names in LISTS.items():
        for name in names:
            for text in CORPUS:
                answer = await stranger.raw("GET", f"{path}?{name}={quote(text)}")
                assert answer.status_code in (200, 400), (path, name, text, answer.text)
                if path in ("/notifications", "/sandbox/messages") and answer.status_code == 200:
                    assert answer.json()["items"] == [], (path, name, text)
    assert await tables(portal) == before


async def test_a_hostile_name_of_metadata_finds_nothing(shop: Client) -> None:
    for text in CORPUS:
        answer = await shop.raw("GET", f"/notifications?metadata.{quote(text)}=7")
        assert answer.status_code in (200, 400), text
        assert answer.status_code == 400 or answer.json()["items"] == []


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH", "PUT"])
async def test_hostile_paths_lead_nowhere(portal: PortalPeer, shop: Client, method: str) -> None:
    body = {} if method in ("POST", "PATCH", "PUT") else None
    for path in PATHS:
        for text in CORPUS:
            answer = await shop.raw(method, path.format(quote(text, safe="")), body)
            assert answer.status_code in (400, 404, 405), (method, path, text, answer.text)
    assert (await shop.ask("GET", "/balance", status=200))["difference"] == 0


async def test_hostile_texts_are_kept_and_found_as_they_are(portal: PortalPeer, shop: Client) -> None:
    for text in CORPUS[:-1]:
        await shop.send(reference=text, metadata={"note": text}, data={"code": text})
    await portal.deliver()
    for text in CORPUS[:-1]:
        for query in (f"reference={quote(text)}", f"metadata.note={quote(text)}"):
            found = (await shop.ask("GET", f"/notifications?{query}", status=200))["items"]
            assert text in [item["reference"] for item in found], query
        messages = (await shop.ask("GET", f"/sandbox/messages?reference={quote(text)}", status=200))["items"]
        assert f"Your code is {text}" in [item["message"]["parts"]["text"] for item in messages]


async def test_a_hostile_key_of_idempotency_is_only_a_key(shop: Client) -> None:
    for text in (text for text in CORPUS if text.isascii() and len(text) < 256 and text == text.strip()):
        first = await shop.raw("POST", "/notifications", one(), idempotency_key=text)
        again = await shop.raw("POST", "/notifications", one(), idempotency_key=text)
        assert (first.status_code, first.json()["id"]) == (202, again.json()["id"])


async def test_another_application_reaches_no_notification_by_its_id(portal: PortalPeer, shop: Client) -> None:
    """Row 2's shape for this part of the API: an id of somebody else is an id of nobody."""
    stranger = await portal.key("stranger")
    sent, waiting = await shop.send(), await shop.send(send_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    calls: list[tuple[str, str, Any, dict[str, str]]] = [
        ("GET", "/notifications/{}", None, {}),
        ("PATCH", "/notifications/{}", {"priority": "low"}, {"if_match": '"1"'}),
        ("POST", "/notifications/{}/cancel", None, {}),
        ("POST", "/notifications/{}/replay", None, {}),
        ("DELETE", "/notifications/{}", None, {}),
    ]
    for id_ in (sent, waiting):
        for method, path, body, headers in calls:
            await stranger.ask(method, path.format(id_), body, status=404, **headers)
        assert (await shop.get(id_))["revision"] == 1
