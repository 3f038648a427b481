"""Whether a process can do its work, in words an operator can act on."""

from __future__ import annotations

from msgspec import Struct

from portal.db import Database, Revisions
from portal.errors import Unavailable
from portal.kv import Kv
from portal.plugin_loader import Registry


class Readiness(Struct, frozen=True):
    """`ready` says whether requests should come here; `degraded` names each part that is away and what that means."""

    ready: bool
    degraded: dict[str, str]


async def readiness(db: Database, kv: Kv, revisions: Revisions, registry: Registry) -> Readiness:
    """Ask every part once."""
    degraded: dict[str, str] = {}
    ready = True
    try:
        await db.ping()
    except Unavailable:
        ready = False
        degraded["database"] = "does not answer: nothing can be accepted"
    if ready and not revisions.fresh:
        ready = False
        degraded["revisions"] = "could not be read for a second: API keys cannot be checked"
    if not kv.up:
        degraded["redis"] = f"{kv.sentence} Accepting and delivery go on by the database."
    for plugin in registry.plugins:
        if plugin.enabled and plugin.problem:
            degraded[f"plugin {plugin.name}"] = plugin.problem
    return Readiness(ready, degraded)
