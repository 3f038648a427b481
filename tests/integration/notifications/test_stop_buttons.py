"""Stop buttons through the API: pressed, seen, obeyed, released."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import select

from portal.audit.models import AuditEntry
from tests.portal_peer import Client, PortalPeer


@pytest.mark.parametrize("kind", ["everything", "lane", "application", "template"])
async def test_a_stopped_thing_rests_until_it_is_released(portal: PortalPeer, shop: Client, kind: str) -> None:
    key = {"everything": "*", "lane": "medium", "application": str(shop.actor.application_id), "template": "code"}[kind]
    pressed = await shop.ask("POST", "/stops", {"kind": kind, "key": key, "reason": "A mistake."}, status=201)
    assert [(stop["kind"], stop["key"], stop["reason"]) for stop in pressed["items"]] == [(kind, key, "A mistake.")]
    await shop.ask("POST", "/stops", {"kind": kind, "key": key, "reason": "Again."}, status=409)
    await portal.parts.revisions.poll()
    id_ = await shop.send()
    if kind != "application":
        await portal.deliver()
    assert (await shop.get(id_))["status"] == "accepted"
    await shop.ask("DELETE", f"/stops/{kind}/{key}", status=204)
    await shop.ask("DELETE", f"/stops/{kind}/{key}", status=404)
    assert (await shop.ask("GET", "/stops", status=200))["items"] == []
    await portal.parts.revisions.poll()
    async with portal.db.read() as conn:
        actions = list((await conn.execute(select(AuditEntry.action))).scalars())
    assert [action for action in actions if action.startswith("stop.")] == ["stop.press", "stop.release"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "lane", "key": "urgent", "reason": "x"}, "key"),
        ({"kind": "application", "key": "shop", "reason": "x"}, "key"),
        ({"kind": "account", "key": str(uuid4()).upper(), "reason": "x"}, "key"),
        ({"kind": "lane", "key": "high", "reason": "  "}, "reason"),
    ],
)
async def test_a_stop_names_something_and_says_why(shop: Client, body: dict[str, str], field: str) -> None:
    assert field in await shop.problems("POST", "/stops", body)


async def test_only_an_operator_stops_work(portal: PortalPeer) -> None:
    reader = await portal.key("shop", ["notifications:read"])
    await reader.ask("POST", "/stops", {"kind": "everything", "reason": "x"}, status=403)
    await reader.ask("DELETE", "/stops/everything/*", status=403)
