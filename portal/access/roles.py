"""The five roles and what each may do; a user holds any number of them."""

from __future__ import annotations

from collections.abc import Iterable

from portal.access.actor import PERMISSIONS
from portal.errors import InvalidInput

_LOOK = frozenset({"notifications:read", "templates:read", "people:read", "providers:read", "sandbox:read"})

ROLES: dict[str, frozenset[str]] = {
    "admin": frozenset(PERMISSIONS),
    "designer": _LOOK | {"templates:write", "people:write", "notifications:send"},
    "approver": _LOOK | {"approve:write"},
    "operator": _LOOK
    | {"notifications:send", "notifications:write", "people:write", "providers:write", "operate:write", "audit:read"},
    "viewer": _LOOK,
}

# One sentence each, for the page where roles are given.
ROLE_TITLES: dict[str, str] = {
    "admin": "Everything, users and keys included",
    "designer": "Designs templates and tries them out",
    "approver": "Approves what others want to send",
    "operator": "Keeps sending going: accounts, routes, replays, stop buttons",
    "viewer": "Sees everything but secrets, changes nothing",
}


def permissions_of(roles: Iterable[str]) -> frozenset[str]:
    """All that these roles allow together; a role this version does not know allows nothing."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))


def check_roles(roles: Iterable[str]) -> list[str]:
    """The roles, sorted and without doubles; raises `InvalidInput` for one that does not exist."""
    chosen = sorted(set(roles))
    unknown = [role for role in chosen if role not in ROLES]
    if unknown:
        raise InvalidInput({"roles": f"expected any of {', '.join(ROLES)}, got {', '.join(unknown)}"})
    return chosen
