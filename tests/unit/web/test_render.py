"""Small pure parts of rendering: addresses, times, cursors, navigation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from portal.access import PERMISSIONS, ROLES, Actor
from portal.access.roles import ROLE_TITLES, check_roles, permissions_of
from portal.errors import InvalidInput, NotAllowed
from portal.web.navigation import MENU, current_path, menu_for
from portal.web.paging import decode_cursor, encode_cursor, page_of
from portal.web.render import ago, duration, local_path, url_with, when

ALL_PATHS = {entry.path for group in MENU for entry in group.entries}


@pytest.mark.parametrize(
    "path",
    [
        None, "", "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "javascript:alert(1)", "evil",
        "/\tevil", "/a\r\nset-cookie: x=1", " /a", "/a b", "///evil.example", "/%0d%0aX\x7f", "/..\\evil",
    ],
)  # fmt: skip
def test_people_are_never_sent_to_another_site(path: str | None) -> None:
    assert local_path(path) == "/"


@pytest.mark.parametrize("path", ["/", "/notifications?status=dead&q=a%20b", "/users/1#top", "/a@evil.example"])
def test_a_path_of_this_site_is_kept(path: str) -> None:
    assert local_path(path) == path


def test_an_address_keeps_the_filters_that_are_set() -> None:
    query = {"status": "dead", "q": "", "cursor": "x", "channel": ["sms", "email"]}
    assert url_with("/n", query, cursor=None) == "/n?status=dead&channel=sms&channel=email"
    assert url_with("/n", {"q": "a b&c"}) == "/n?q=a%20b%26c"
    assert url_with("/n") == "/n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.85, "850 ms"), (12, "12 s"), (61, "1 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_a_duration_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_times_carry_the_instant_and_escape_what_stands_for_nothing() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert when(at) == '<time datetime="2026-01-02T03:04:05.000+00:00" data-local>2026-01-02 03:04:05 UTC</time>'
    assert "ago" in ago(at)
    assert "in 59 min" in ago(datetime.now(UTC) + timedelta(hours=1))
    assert when(None, "<b>") == "&lt;b&gt;"


def test_a_cursor_survives_the_round_trip_and_nothing_else_is_taken() -> None:
    at, row_id = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), uuid4()
    cursor = decode_cursor(encode_cursor(at, row_id))
    assert cursor is not None
    assert (cursor.at, cursor.id) == (at, row_id)
    assert decode_cursor("") is None
    for text in ("x", "AAAA", "é", "kgHEEA", "1' OR 1=1", "zv//////////"):
        with pytest.raises(InvalidInput):
            decode_cursor(text)


def test_a_page_knows_whether_there_is_more() -> None:
    rows = [SimpleNamespace(id=UUID(int=n), created_at=datetime(2026, 1, 1, tzinfo=UTC)) for n in range(3)]
    assert page_of(rows, 3).next == ""
    page = page_of(rows, 2)
    assert len(page.rows) == 2
    cursor = decode_cursor(page.next)
    assert cursor is not None
    assert cursor.id == UUID(int=1)


def _actor(*roles: str) -> Actor:
    return Actor(kind="user", id=uuid4(), name="x", permissions=permissions_of(roles))


def test_the_menu_shows_what_one_may_open_and_what_exists() -> None:
    assert {e.path for g in menu_for(_actor("admin"), ALL_PATHS) for e in g.entries} == ALL_PATHS
    viewer = {e.path for g in menu_for(_actor("viewer"), ALL_PATHS) for e in g.entries}
    assert "/keys" not in viewer
    assert "/notifications" in viewer
    assert [e.path for g in menu_for(_actor("admin"), {"/keys"}) for e in g.entries] == ["/keys"]
    assert menu_for(None, ALL_PATHS) == []


@pytest.mark.parametrize(("path", "entry"), [("/keys/new", "/keys"), ("/", "/"), ("/keysmith", ""), ("/send", "/send")])
def test_a_page_belongs_to_the_longest_entry_above_it(path: str, entry: str) -> None:
    assert current_path(path, MENU) == entry


def test_every_menu_entry_and_role_names_permissions_that_exist() -> None:
    assert {entry.permission for group in MENU for entry in group.entries} <= set(PERMISSIONS)
    assert set().union(*ROLES.values()) == set(PERMISSIONS)
    assert set(ROLE_TITLES) == set(ROLES)


def test_only_administrators_hold_the_keys() -> None:
    for permission in ("users:write", "keys:write"):
        assert [role for role, allowed in ROLES.items() if permission in allowed] == ["admin"]
    assert not any(":write" in p or p == "notifications:send" for p in ROLES["viewer"])


def test_an_unknown_role_is_named_and_gives_nothing() -> None:
    with pytest.raises(InvalidInput, match="emperor"):
        check_roles(["admin", "emperor"])
    assert permissions_of(["emperor"]) == frozenset()
    with pytest.raises(NotAllowed, match="keys:write"):
        _actor("viewer").require("keys:write")
