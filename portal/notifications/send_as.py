"""A user of the portal sends one notification: through the same checks as a system with an API key."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from portal.access import Actor, ApiKeyEntry
from portal.access.applications import ensure_application
from portal.access.queries import applications
from portal.db import Database
from portal.notifications.accept import Acceptor
from portal.notifications.approval import add_to_window
from portal.notifications.decode import decode
from portal.notifications.intake import Intake, canonical, fingerprint
from portal.notifications.schemas import NotificationIn

# What people send from the portal belongs to an application of its own, with its own limits and stop button.
APPLICATION, TITLE = "portal", "Push Portal"

_decoder = msgspec.json.Decoder(NotificationIn)


class Sent(NamedTuple):
    """The notification that answers a form; `before` when an earlier sending of the same form had made it."""

    id: UUID
    before: bool


async def send_as(
    db: Database,
    intake: Intake,
    acceptor: Acceptor,
    actor: Actor,
    ask: NotificationIn,
    *,
    mode: Literal["live", "test"],
    once: str = "",
) -> Sent:
    """The accepted notification, after its commit. `test` goes to the sandbox only.

    `once` names the form: the same content sent twice from it (an impatient second click) is one notification. Raises `InvalidInput` naming every wrong field, `NotAllowed` and `TooMany`.
    """
    actor.require("notifications:send")
    # Once through JSON: what that door refuses (a NUL inside nested data, say) is refused here as well.
    ask = decode(canonical.encode(ask), _decoder)
    entry = await _entry(db, actor, mode)
    await intake.limit(entry)
    key = f"{actor.id}-{once[:40]}-{mode}-{fingerprint(ask).hex()[:32]}" if once.isalnum() else None
    request, member = await intake.request(entry, ask, key)
    accepted = await acceptor.submit(request)
    before = accepted != request.id
    if mode == "live" and not before:
        await db.transact(add_to_window, entry.application_id, {(member.template, member.category): 1})
    return Sent(accepted, before)


async def _entry(db: Database, actor: Actor, mode: Literal["live", "test"]) -> ApiKeyEntry:
    """What an API key of the portal's own application would say."""
    async with db.read() as conn:
        row = next((each for each in await applications(conn) if each.key == APPLICATION), None)
    application_id = row.id if row else await db.transact(ensure_application, APPLICATION, TITLE)
    return ApiKeyEntry(
        id=actor.id,
        name=actor.name,
        mode=mode,
        scopes=frozenset({"notifications:send"}),
        rate_per_second=None,
        expires_at=math.inf,
        application_id=application_id,
        application_key=APPLICATION,
        application_rate=row.rate_per_second if row else None,
        trial=bool(row and row.trial),
        guest_list=frozenset(row.guest_list if row else ()),
        actor=actor,
    )
