"""The set-based reads that planning uses, with as many people as a chunk has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event

from portal.db import Database, bulk, new_id
from portal.people.models import Address, Person, PersonExternalId
from portal.people.queries import AddressRow, addresses_of, people_by_external, people_by_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANY = 500


def person(**values: Any) -> dict[str, Any]:
    return {
        "id": new_id(),
        "name": "x",
        "locale": "en",
        "timezone": "UTC",
        "merged_into": None,
        "archived_at": None,
    } | values


def address(of: dict[str, Any], value: str, **values: Any) -> dict[str, Any]:
    fixed = {"id": new_id(), "person_id": of["id"], "channel": "email", "value": value, "is_primary": False}
    return fixed | {"verified_at": None, "dead_at": None, "created_at": NOW} | values


async def test_five_hundred_people_take_one_query_each_way(db: Database) -> None:
    people = [person(name=f"P{number}") for number in range(MANY)]
    async with db.write() as conn:
        await bulk.insert(conn, Person, people)
        await bulk.insert(conn, Address, [address(each, f"{each['name']}@example.com") for each in people])
        rows = [{"source": "crm", "value": each["name"], "person_id": each["id"]} for each in people]
        await bulk.insert(conn, PersonExternalId, rows)
    statements: list[str] = []
    async with db.read() as conn:
        event.listen(conn.sync_connection, "before_cursor_execute", lambda *args: statements.append(args[2]))
        found = await people_by_id(conn, [each["id"] for each in people] + [new_id()])
        assert {row.name for row in found.values()} == {each["name"] for each in people}
        assert len(statements) == 1
        external = await people_by_external(conn, [("crm", f"P{number}") for number in range(MANY)] + [("hr", "P1")])
        assert len(external) == MANY
        assert len(statements) == 3
        addresses = await addresses_of(conn, [each["id"] for each in people], ["email", "sms"])
        assert len(statements) == 4
    assert len(addresses) == MANY
    first = addresses[people[0]["id"], "email"]
    assert isinstance(first, AddressRow)
    assert first.value == "P0@example.com"


async def test_merges_are_followed_and_the_archived_are_unknown(db: Database) -> None:
    last = person(name="last")
    middle = person(merged_into=last["id"])
    first = person(merged_into=middle["id"])
    gone = person(archived_at=NOW)
    to_gone = person(merged_into=gone["id"])
    one = person()
    other = person(merged_into=one["id"])
    one["merged_into"] = other["id"]
    everybody = [last, middle, first, gone, to_gone, one, other]
    async with db.write() as conn:
        await bulk.insert(conn, Person, everybody)
        rows = [
            {"source": "crm", "value": "1", "person_id": first["id"]},
            {"source": "crm", "value": "2", "person_id": gone["id"]},
        ]
        await bulk.insert(conn, PersonExternalId, rows)
    async with db.read() as conn:
        found = await people_by_id(conn, [each["id"] for each in everybody])
        assert {asked: row.name for asked, row in found.items()} == dict.fromkeys(
            (last["id"], middle["id"], first["id"]), "last"
        )
        assert {row.id for row in found.values()} == {last["id"]}
        external = await people_by_external(conn, [("crm", "1"), ("crm", "2"), ("crm", "3"), ("x", "1")])
        assert {pair: row.name for pair, row in external.items()} == {("crm", "1"): "last"}
        assert await people_by_id(conn, []) == {}
        assert await people_by_external(conn, []) == {}
        assert await addresses_of(conn, [], ["email"]) == {}


async def test_the_address_is_the_primary_else_a_verified_else_the_newest_and_never_a_dead_one(db: Database) -> None:
    a, b, c, d = person(), person(), person(), person()
    later = NOW + timedelta(days=1)
    addresses = [
        address(a, "verified@a", verified_at=NOW, created_at=later),
        address(a, "primary@a", is_primary=True),
        address(a, "dead@a", is_primary=True, verified_at=NOW, created_at=later, dead_at=NOW),
        address(b, "newest@b", created_at=later),
        address(b, "verified@b", verified_at=NOW),
        address(c, "newest@c", created_at=later),
        address(c, "oldest@c"),
        address(c, "+4912345", channel="sms"),
        address(d, "dead@d", dead_at=NOW),
    ]
    async with db.write() as conn:
        await bulk.insert(conn, Person, [a, b, c, d])
        await bulk.insert(conn, Address, addresses)
    async with db.read() as conn:
        found = await addresses_of(conn, [each["id"] for each in (a, b, c, d)], ["email", "sms"])
        only_sms = await addresses_of(conn, [c["id"]], ["sms"])
    assert {place: row.value for place, row in found.items()} == {
        (a["id"], "email"): "primary@a",
        (b["id"], "email"): "verified@b",
        (c["id"], "email"): "newest@c",
        (c["id"], "sms"): "+4912345",
    }
    assert [row.value for row in only_sms.values()] == ["+4912345"]
