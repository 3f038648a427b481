"""The one who acts: a user of the portal, an API key, or the system itself."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from msgspec import Struct

from portal.errors import NotAllowed

# Every permission, which is also the scope of an API key, and what it lets its holder do.
PERMISSIONS: dict[str, str] = {
    "notifications:send": "Send notifications",
    "notifications:read": "See notifications, deliveries and the balance",
    "notifications:write": "Change, cancel, replay and erase notifications",
    "templates:read": "See templates",
    "templates:write": "Design and publish templates",
    "people:read": "See people, addresses and groups",
    "people:write": "Change people, addresses and groups",
    "providers:read": "See provider accounts and routes",
    "providers:write": "Set up provider accounts and routes",
    "keys:write": "Create and revoke API keys",
    "users:write": "Invite users and give them roles",
    "audit:read": "Read the audit",
    "operate:write": "Pause and resume lanes, accounts and applications",
    "sandbox:read": "Read the sandbox outbox",
    "approve:write": "Approve batches of others",
}


class Actor(Struct, frozen=True, kw_only=True):
    """Who acts, with what they may do; `application_id` and `mode` matter for API keys."""

    kind: Literal["user", "key", "system"]
    id: UUID
    name: str
    permissions: frozenset[str]
    application_id: UUID | None = None
    mode: Literal["live", "test"] = "live"

    def may(self, permission: str) -> bool:
        """True when this actor holds the permission."""
        return permission in self.permissions

    def require(self, permission: str) -> None:
        """Return when this actor holds the permission, else raise `NotAllowed` naming it."""
        if permission not in self.permissions:
            raise NotAllowed(f"This needs the permission {permission}, which {self.name} does not have.")


# The portal acting on its own behalf: seeds, sweeps and the command line.
SYSTEM = Actor(kind="system", id=UUID(int=0), name="system", permissions=frozenset(PERMISSIONS))
