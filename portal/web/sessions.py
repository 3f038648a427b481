"""Server-side sessions: made at sign-in, found by cookie, ended by sign-out, time, disabling or a change of rights.

An identifier that is not in the table is never adopted, so nobody can plant one. There is no session before sign-in;
forms of visitors are bound to a random cookie of their own (`portal.web.visit`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access.actor import Actor
from portal.access.models import RoleGrant, User
from portal.access.queries import AnyRow
from portal.access.roles import permissions_of
from portal.db import Database, db_now
from portal.web.models import Session

IDLE = timedelta(hours=12)
ABSOLUTE = timedelta(days=7)
# How often the time of the last request is written (seconds): idle time needs no better.
SEEN_EVERY_SECONDS = 60


class Signed(Struct, frozen=True, kw_only=True):
    """A valid session as the request sees it."""

    id_hash: str
    user_id: UUID
    method: str
    actor: Actor


def hash_of(identifier: str) -> str:
    """What is stored instead of the identifier."""
    return hashlib.sha256(identifier.encode()).hexdigest()


async def start_session(
    conn: AsyncConnection, user_id: UUID, *, method: str, address: str = "", user_agent: str = "", replaces: str = ""
) -> str:
    """A new session of the user; returns the identifier for the cookie. `replaces` is the hash of one that ends."""
    if replaces:
        await end_session(conn, replaces)
    identifier = secrets.token_urlsafe(32)
    await conn.execute(
        insert(Session).values(
            id_hash=hash_of(identifier),
            user_id=user_id,
            created_at=db_now(),
            last_seen_at=db_now(),
            expires_at=db_now(ABSOLUTE.total_seconds()),
            method=method,
            address=address[:64],
            user_agent=user_agent[:300],
        )
    )
    return identifier


async def find_session(db: Database, identifier: str, *, active: bool = True) -> Signed | None:
    """The session with this identifier if it is alive and its user is not disabled; one query, on every page.

    A request that no person made (`active=False`: a page that refreshes itself) does not count against idleness.
    """
    id_hash = hash_of(identifier)
    stale = (Session.last_seen_at < db_now(-SEEN_EVERY_SECONDS)).label("stale")
    wanted = (
        select(Session.user_id, Session.method, stale, User.email, User.name, RoleGrant.role)
        .join_from(Session, User, User.id == Session.user_id)
        .outerjoin(RoleGrant, RoleGrant.user_id == User.id)
        .where(Session.id_hash == id_hash, User.disabled_at.is_(None))
        .where(Session.expires_at > db_now(), Session.last_seen_at > db_now(-IDLE.total_seconds()))
    )
    async with db.read() as conn:
        rows = (await conn.execute(wanted)).all()
    if not rows:
        return None
    first = rows[0]
    if first.stale and active:
        async with db.write() as conn:
            await conn.execute(update(Session).where(Session.id_hash == id_hash).values(last_seen_at=db_now()))
    permissions = permissions_of(row.role for row in rows if row.role is not None)
    actor = Actor(kind="user", id=first.user_id, name=first.name or first.email, permissions=permissions)
    return Signed(id_hash=id_hash, user_id=first.user_id, method=first.method, actor=actor)


async def end_session(conn: AsyncConnection, id_hash: str) -> None:
    """The session is gone at once, everywhere."""
    await conn.execute(delete(Session).where(Session.id_hash == id_hash))


async def end_sessions_of(conn: AsyncConnection, user_id: UUID, *, but: str = "") -> None:
    """End every session of a user, but for the one with this hash: after a change of rights or password."""
    await conn.execute(delete(Session).where(Session.user_id == user_id, Session.id_hash != but))


async def sessions_of(conn: AsyncConnection, user_id: UUID) -> Sequence[AnyRow]:
    """The user's living sessions, the latest first, without anything that could be used as a cookie."""
    columns = (Session.id_hash, Session.created_at, Session.last_seen_at, Session.address, Session.user_agent)
    wanted = select(*columns, Session.method).where(Session.user_id == user_id, Session.expires_at > db_now())
    return (await conn.execute(wanted.order_by(Session.last_seen_at.desc()))).all()


async def drop_dead_sessions(conn: AsyncConnection, before: datetime | None = None) -> int:
    """Delete sessions that have expired; returns how many. Meant for once an hour."""
    idle = db_now(-IDLE.total_seconds())
    done = await conn.execute(
        delete(Session).where((Session.expires_at < (before or db_now())) | (Session.last_seen_at < idle))
    )
    return done.rowcount
