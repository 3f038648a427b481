"""People, addresses and groups through the JSON API, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from portal.audit.models import AuditEntry
from portal.db import Database, new_id
from portal.people.addresses import mark_dead
from portal.people.api import api_router
from portal.people.models import Address, Membership, Person, PersonExternalId
from portal.settings import Settings
from tests.api_peer import ApiPeer, api

ADA = {
    "name": "Ada Lovelace",
    "locale": "en-GB",
    "timezone": "Europe/London",
    "external_ids": [{"source": "crm", "id": "A-1"}],
    "addresses": [
        {"channel": "email", "value": "ada@EXAMPLE.com", "primary": True, "verified": True},
        {"channel": "sms", "value": "+44 20 7946 0000"},
    ],
}


@pytest.fixture
async def peer(settings: Settings, db: Database) -> AsyncIterator[ApiPeer]:
    async with api(settings, db, [api_router]) as made:
        yield made


async def test_a_person_is_created_with_everything_at_once(peer: ApiPeer) -> None:
    made = await peer.ask("POST", "/people", ADA, status=201)
    assert made["external_ids"] == [{"source": "crm", "id": "A-1"}]
    mail, phone = made["addresses"]
    assert (mail["value"], mail["primary"], mail["verified_at"] is None) == ("ada@example.com", True, False)
    assert (phone["value"], phone["primary"], phone["verified_at"]) == ("+442079460000", False, None)
    assert await peer.ask("GET", f"/people/{made['id']}", status=200) == made
    await peer.ask("GET", f"/people/{new_id()}", status=404)


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"addresses": [{"channel": "email", "value": "not an address"}]}, ["addresses[0].value"]),
        ({"addresses": [{"channel": "pigeon", "value": "x"}]}, ["addresses[0].channel"]),
        (
            {"addresses": [{"channel": "email", "value": "a@b.example"}, {"channel": "email", "value": "a@B.example"}]},
            ["addresses[1].value"],
        ),
        ({"timezone": "Europe/Nowhere"}, ["timezone"]),
        ({"timezone": "../../etc/passwd"}, ["timezone"]),
        ({"name": "Ada\r\nBcc: x"}, ["name"]),
        ({"external_ids": [{"source": "crm", "id": " x"}]}, ["external_ids[0].id"]),
        ({"external_ids": [{"source": "crm", "id": "x"}, {"source": "crm", "id": "x"}]}, ["external_ids[1]"]),
    ],
)
async def test_what_is_wrong_is_refused_by_field_and_leaves_nothing(
    peer: ApiPeer, db: Database, change: dict[str, Any], fields: list[str]
) -> None:
    problems = await peer.problems("POST", "/people", {**ADA, **change})
    assert sorted(problems) == fields
    async with db.read() as conn:
        for table in (Person, Address, PersonExternalId):
            assert (await conn.execute(select(func.count()).select_from(table))).scalar() == 0


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("body", [{"nam": "x"}, {"locale": "english"}, {"addresses": {}}, {"name": "x" * 300}])
async def test_a_body_of_another_shape_is_refused(peer: ApiPeer, body: Any) -> None:
    assert (await peer.ask("POST", "/people", body, status=400))["code"] == "invalid_input"


async def test_an_id_of_another_system_belongs_to_one_person(peer: ApiPeer) -> None:
    answers = await asyncio.gather(*(peer.client.post("/api/v1/people", json=ADA) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    # Capitals matter: other systems tell A-1 and a-1 apart.
    await peer.ask("POST", "/people", {"external_ids": [{"source": "crm", "id": "a-1"}]}, status=201)


async def test_people_are_found_by_id_address_and_name(peer: ApiPeer) -> None:
    ada = await peer.ask("POST", "/people", ADA, status=201)
    for number in range(3):
        await peer.ask("POST", "/people", {"name": f"Bob {number}"}, status=201)

    async def found(query: str) -> list[str]:
        return [person["name"] for person in (await peer.ask("GET", f"/people?{query}", status=200))["items"]]

    assert await found("source=crm&external_id=A-1") == ["Ada Lovelace"]
    assert await found("source=crm&external_id=A-2") == []
    assert await found("channel=email&address=ADA@example.com") == []
    assert await found("channel=email&address=ada@EXAMPLE.com") == ["Ada Lovelace"]
    assert await found("address=%2B442079460000") == ["Ada Lovelace"]
    assert await found("search=ada") == ["Ada Lovelace"]
    assert await found("search=%25") == []
    first = await peer.ask("GET", "/people?limit=3", status=200)
    second = await peer.ask("GET", f"/people?limit=3&cursor={first['next']}", status=200)
    assert [person["name"] for person in first["items"] + second["items"]] == [
        "Bob 2",
        "Bob 1",
        "Bob 0",
        "Ada Lovelace",
    ]
    assert second["items"] == [ada]
    await peer.ask("GET", "/people?external_id=x", status=400)
    await peer.ask("GET", "/people?cursor=zzz", status=400)


async def test_a_person_changes_under_if_match(peer: ApiPeer) -> None:
    made = await peer.ask("POST", "/people", ADA, status=201)
    path = f"/people/{made['id']}"
    tag = f'"{made["revision"]}"'
    changed = await peer.ask("PATCH", path, {"name": "Ada King", "locale": None}, status=200, if_match=tag)
    assert (changed["name"], changed["locale"], changed["timezone"]) == ("Ada King", None, "Europe/London")
    await peer.ask("PATCH", path, {"name": "x"}, status=412, if_match=tag)
    await peer.ask("PATCH", path, {"name": "x"}, status=400, if_match="W/what")
    swapped = await peer.ask("PATCH", path, {"external_ids": [{"source": "hr", "id": "7"}]}, status=200)
    assert swapped["external_ids"] == [{"source": "hr", "id": "7"}]
    await peer.ask("POST", "/people", {"external_ids": [{"source": "crm", "id": "A-1"}]}, status=201)
    taken = {"external_ids": [{"source": "crm", "id": "A-1"}]}
    await peer.ask("PATCH", path, taken, status=409)
    assert (await peer.ask("GET", path, status=200))["external_ids"] == [{"source": "hr", "id": "7"}]


async def test_a_deleted_person_leaves_only_an_id(peer: ApiPeer, db: Database) -> None:
    made = await peer.ask("POST", "/people", ADA, status=201)
    group = await peer.ask("POST", "/groups", {"key": "g", "person_ids": [made["id"]]}, status=201)
    await peer.ask("DELETE", f"/people/{made['id']}", status=204)
    await peer.ask("GET", f"/people/{made['id']}", status=404)
    await peer.ask("DELETE", f"/people/{made['id']}", status=404)
    assert (await peer.ask("GET", f"/groups/{group['id']}", status=200))["members"] == 0
    async with db.read() as conn:
        row = (await conn.execute(select(Person.name, Person.archived_at))).one()
        assert row.name == ""
        assert row.archived_at is not None
        for table in (Address, PersonExternalId, Membership):
            assert (await conn.execute(select(func.count()).select_from(table))).scalar() == 0


async def test_addresses_are_added_changed_and_removed(peer: ApiPeer, db: Database) -> None:
    person = await peer.ask("POST", "/people", ADA, status=201)
    path = f"/people/{person['id']}/addresses"
    work = await peer.ask("POST", path, {"channel": "email", "value": "a@work.example", "primary": True}, status=201)
    listed = await peer.ask("GET", path, status=200)
    assert [(each["value"], each["primary"]) for each in listed if each["channel"] == "email"] == [
        ("a@work.example", True),
        ("ada@example.com", False),
    ]
    await peer.ask("POST", path, {"channel": "email", "value": "a@WORK.example"}, status=409)
    assert await peer.problems("POST", path, {"channel": "email", "value": "x"}) != {}
    changed = await peer.ask("PATCH", f"{path}/{work['id']}", {"verified": True}, status=200)
    assert changed["verified_at"] is not None
    changed = await peer.ask("PATCH", f"{path}/{work['id']}", {"value": "b@work.example"}, status=200)
    assert (changed["value"], changed["verified_at"]) == ("b@work.example", None)
    assert await peer.problems("PATCH", f"{path}/{work['id']}", {"value": "nowhere"}) != {}
    await peer.ask("PATCH", f"{path}/{work['id']}", {"value": "ada@example.com"}, status=409)
    async with db.write() as conn:
        await mark_dead(conn, [UUID(work["id"])], "mailbox gone")
    (dead,) = [each for each in await peer.ask("GET", path, status=200) if each["id"] == work["id"]]
    assert dead["dead_reason"] == "mailbox gone"
    alive = await peer.ask("PATCH", f"{path}/{work['id']}", {"dead": False}, status=200)
    assert alive["dead_at"] is None
    await peer.ask("DELETE", f"{path}/{work['id']}", status=204)
    await peer.ask("DELETE", f"{path}/{work['id']}", status=404)
    other = await peer.ask("POST", "/people", {}, status=201)
    kept = listed[-1]["id"]
    await peer.ask("DELETE", f"/people/{other['id']}/addresses/{kept}", status=404)


async def test_groups_and_their_members(peer: ApiPeer) -> None:
    people = [(await peer.ask("POST", "/people", {"name": f"P{number}"}, status=201))["id"] for number in range(4)]
    group = await peer.ask("POST", "/groups", {"key": "staff", "name": "Staff", "person_ids": people[:2]}, status=201)
    path = f"/groups/{group['id']}"
    assert group["members"] == 2
    await peer.ask("POST", "/groups", {"key": "staff"}, status=409)
    added = await peer.ask("POST", f"{path}/members", {"person_ids": [*people[1:3], people[2]]}, status=200)
    assert added["members"] == 3
    page = await peer.ask("GET", f"{path}/members?limit=2", status=200)
    rest = await peer.ask("GET", f"{path}/members?limit=2&cursor={page['next']}", status=200)
    assert [person["name"] for person in page["items"] + rest["items"]] == ["P2", "P1", "P0"]
    await peer.ask("DELETE", f"{path}/members/{people[0]}", status=204)
    replaced = await peer.ask("PUT", f"{path}/members", {"person_ids": [people[3]]}, status=200)
    assert replaced["members"] == 1
    problems = await peer.problems("POST", f"{path}/members", {"person_ids": [people[0], str(new_id())]})
    assert problems == {"person_ids[1]": "no such person"}
    assert (await peer.ask("GET", path, status=200))["members"] == 1
    renamed = await peer.ask("PATCH", path, {"name": "Everybody"}, status=200)
    assert renamed["name"] == "Everybody"
    assert len((await peer.ask("GET", "/groups", status=200))["items"]) == 1
    await peer.ask("DELETE", path, status=204)
    await peer.ask("GET", path, status=404)


async def test_a_merged_person_leads_to_the_one_that_remains(peer: ApiPeer, db: Database) -> None:
    ada = await peer.ask("POST", "/people", ADA, status=201)
    double = await peer.ask("POST", "/people", {"name": "A. Lovelace"}, status=201)
    async with db.write() as conn:
        merged = update(Person).where(Person.id == UUID(double["id"])).values(merged_into=UUID(ada["id"]))
        await conn.execute(merged)
    assert (await peer.ask("GET", f"/people/{double['id']}", status=200))["id"] == ada["id"]
    group = await peer.ask("POST", "/groups", {"key": "g", "person_ids": [double["id"], ada["id"]]}, status=201)
    assert group["members"] == 1
    assert len((await peer.ask("GET", "/people", status=200))["items"]) == 1


async def test_every_change_is_in_the_audit_without_full_addresses(peer: ApiPeer, db: Database) -> None:
    person = await peer.ask("POST", "/people", {"name": "Ada"}, status=201)
    path = f"/people/{person['id']}"
    address = await peer.ask("POST", f"{path}/addresses", {"channel": "email", "value": "ada@example.com"}, status=201)
    await peer.ask("PATCH", f"{path}/addresses/{address['id']}", {"primary": True}, status=200)
    await peer.ask("PATCH", path, {"name": "Ada K"}, status=200)
    await peer.ask("DELETE", f"{path}/addresses/{address['id']}", status=204)
    await peer.ask("DELETE", path, status=204)
    async with db.read() as conn:
        entries = (await conn.execute(select(AuditEntry).order_by(AuditEntry.id))).all()
    assert [entry.action for entry in entries] == [
        "person.create", "address.create", "address.update", "person.update", "address.delete", "person.delete",
    ]  # fmt: skip
    assert "ada@example.com" not in str([(entry.before, entry.after) for entry in entries])


async def test_a_key_without_the_scope_is_refused(settings: Settings, db: Database) -> None:
    async with api(settings, db, [api_router], scopes=["people:read"]) as peer:
        await peer.ask("GET", "/people", status=200)
        await peer.ask("POST", "/people", {}, status=403)
        await peer.ask("POST", "/groups", {"key": "g"}, status=403)
