"""The portal's menu. An entry appears when its page exists in this installation and the actor may open it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct

from portal.access import Actor


class Entry(Struct, frozen=True):
    """One link of the menu; `label` is the English text and the key of its translation."""

    label: str
    path: str
    permission: str
    icon: str


class Group(Struct, frozen=True):
    """Entries under one heading; the first group has none."""

    label: str
    entries: tuple[Entry, ...]


MENU: tuple[Group, ...] = (
    Group(
        "",
        (
            Entry("Home", "/", "notifications:read", "home"),
            Entry("Notifications", "/notifications", "notifications:read", "bell"),
            Entry("Send", "/send", "notifications:send", "send"),
        ),
    ),
    Group(
        "Content",
        (
            Entry("Templates", "/templates", "templates:read", "template"),
            Entry("People", "/people", "people:read", "users"),
            Entry("Groups", "/groups", "people:read", "stack-2"),
        ),
    ),
    Group(
        "Delivery",
        (
            Entry("Providers", "/providers", "providers:read", "plug"),
            Entry("Sandbox outbox", "/sandbox", "sandbox:read", "inbox"),
        ),
    ),
    Group(
        "Administration",
        (
            Entry("API keys", "/keys", "keys:write", "key"),
            Entry("Users", "/users", "users:write", "shield-check"),
            Entry("Audit", "/audit", "audit:read", "history"),
        ),
    ),
)


def menu_for(actor: Actor | None, mounted: Collection[str], menu: Iterable[Group] = MENU) -> list[Group]:
    """What this actor sees; groups without entries are left out."""
    if actor is None:
        return []
    shown = [
        Group(group.label, tuple(e for e in group.entries if e.path in mounted and actor.may(e.permission)))
        for group in menu
    ]
    return [group for group in shown if group.entries]


def current_path(path: str, groups: Iterable[Group]) -> str:
    """The path of the entry that a page belongs to: the longest one that it lies under; empty for none."""
    paths = [entry.path for group in groups for entry in group.entries]
    under = [p for p in paths if path == p or (p != "/" and path.startswith(p + "/"))]
    return max(under, key=len, default="")
