"""Stop buttons: what an operator paused, from process memory; accepting goes on meanwhile."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor
from portal.audit import record
from portal.db import Database, Revisions, bump
from portal.errors import Conflict, InvalidInput, NotFound
from portal.ledger.models import Chunk, Stop
from portal.ledger.statuses import LANES

KINDS = ("everything", "lane", "application", "template", "account")


class StopEntry(Struct, frozen=True):
    """A pressed stop button."""

    kind: str
    key: str
    reason: str
    stopped_by: str
    stopped_at: datetime


class Stops:
    """The pressed buttons, reloaded when one changes."""

    def __init__(self, db: Database, revisions: Revisions) -> None:
        self._db = db
        self._keys: dict[str, frozenset[str]] = {kind: frozenset() for kind in KINDS}
        self.entries: list[StopEntry] = []
        revisions.on_change("stops", self.load)

    async def load(self) -> None:
        """Read them all."""
        async with self._db.read() as conn:
            self.entries = await pressed(conn)
        self._keys = {kind: frozenset(e.key for e in self.entries if e.kind == kind) for kind in KINDS}

    def lane(self, lane: str) -> bool:
        """Whether nothing of this lane may be claimed."""
        return bool(self._keys["everything"]) or lane in self._keys["lane"]

    @property
    def applications(self) -> list[UUID]:
        """Applications whose chunks must not be claimed."""
        return [UUID(key) for key in self._keys["application"]]

    @property
    def templates(self) -> frozenset[str]:
        """Keys of templates whose notifications rest."""
        return self._keys["template"]

    def account(self, account_id: UUID) -> bool:
        """Whether nothing may be sent to this account."""
        return str(account_id) in self._keys["account"]


async def pressed(conn: AsyncConnection) -> list[StopEntry]:
    """Every pressed button, oldest first."""
    columns = (Stop.kind, Stop.key, Stop.reason, Stop.stopped_by, Stop.stopped_at)
    return [StopEntry(*row) for row in await conn.execute(select(*columns).order_by(Stop.stopped_at))]


async def press(db: Database, actor: Actor, kind: str, key: str, reason: str) -> None:
    """Stop the work of a kind and key; raises `Conflict` when it is stopped already."""
    actor.require("operate:write")
    problems = {}
    if kind not in KINDS:
        problems["kind"] = f"expected one of {', '.join(KINDS)}"
    elif not _names_something(kind, key):
        problems["key"] = "expected the name of a lane, the id of an application or account, or the key of a template"
    if not reason.strip():
        problems["reason"] = "say why: the banner and the audit show it"
    if problems:
        raise InvalidInput(problems)
    await db.transact(_press, actor, kind, "*" if kind == "everything" else key, reason.strip()[:500])


def _names_something(kind: str, key: str) -> bool:
    if kind == "lane":
        return key in LANES
    if kind in ("application", "account"):
        try:
            return str(UUID(key)) == key
        except ValueError:
            return False
    return kind == "everything" or 1 <= len(key) <= 100


async def _press(conn: AsyncConnection, actor: Actor, kind: str, key: str, reason: str) -> None:
    where = (Stop.kind == kind, Stop.key == key)
    if (await conn.execute(select(Stop.key).where(*where))).first() is not None:
        raise Conflict(f"{kind} {key} is stopped already.")
    await conn.execute(insert(Stop).values(kind=kind, key=key, reason=reason, stopped_by=actor.name))
    await record(conn, actor, "stop.press", f"{kind}:{key}", None, {"reason": reason})
    await bump(conn, "stops")


async def release(db: Database, actor: Actor, kind: str, key: str) -> None:
    """Let the work go on; raises `NotFound` when it was not stopped."""
    actor.require("operate:write")
    await db.transact(_release, actor, kind, "*" if kind == "everything" else key)


async def _release(conn: AsyncConnection, actor: Actor, kind: str, key: str) -> None:
    gone = await conn.execute(delete(Stop).where(Stop.kind == kind, Stop.key == key))
    if not gone.rowcount:
        raise NotFound("stop of", f"{kind} {key}")
    # What was rung in vain meanwhile is rung again at once.
    await conn.execute(update(Chunk).where(Chunk.status == "ready").values(rung_at=None))
    await record(conn, actor, "stop.release", f"{kind}:{key}", None, None)
    await bump(conn, "stops")
