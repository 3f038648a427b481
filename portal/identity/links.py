"""One-time sign-in links. Looking at one changes nothing, so mail scanners cannot use it up; a POST uses it, once."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import User
from portal.access.queries import AnyRow
from portal.db import db_now
from portal.errors import NotFound
from portal.identity.models import SignInLink

LIFE = timedelta(minutes=15)
# Invitations wait for a person to read their mail; the first administrator for somebody to finish an installation.
INVITATION_LIFE = timedelta(hours=24)
PATH = "/sign-in/link"


async def make_link(conn: AsyncConnection, user_id: UUID, life: timedelta = LIFE) -> str:
    """The path of a new link for this user, `/sign-in/link?token=…`; earlier unused links of theirs end.

    The token stands in the query because the access log leaves queries out.
    """
    await conn.execute(delete(SignInLink).where(SignInLink.user_id == user_id, SignInLink.used_at.is_(None)))
    token = secrets.token_urlsafe(32)
    values = {
        "token_hash": _hash(token),
        "user_id": user_id,
        "created_at": db_now(),
        "expires_at": db_now(life.total_seconds()),
    }
    await conn.execute(insert(SignInLink).values(values))
    return f"{PATH}?token={token}"


async def look_at_link(conn: AsyncConnection, token: str) -> AnyRow:
    """The user (id, email, name) whom the link would sign in; raises `NotFound` for one that is used, old or invented."""
    wanted = (
        select(User.id, User.email, User.name)
        .join(SignInLink, SignInLink.user_id == User.id)
        .where(SignInLink.token_hash == _hash(token), SignInLink.used_at.is_(None))
        .where(SignInLink.expires_at > db_now(), User.disabled_at.is_(None))
    )
    row = (await conn.execute(wanted)).one_or_none()
    if row is None:
        raise no_such_link()
    return row


async def use_link(conn: AsyncConnection, token: str) -> UUID:
    """The user's id. Of any number of concurrent calls one returns; the others raise `NotFound`."""
    token_hash = _hash(token)
    alive = (SignInLink.used_at.is_(None), SignInLink.expires_at > db_now())
    used = await conn.execute(
        update(SignInLink).where(SignInLink.token_hash == token_hash, *alive).values(used_at=db_now())
    )
    if used.rowcount != 1:
        raise no_such_link()
    wanted = (
        select(User.id)
        .join(SignInLink, SignInLink.user_id == User.id)
        .where(SignInLink.token_hash == token_hash, User.disabled_at.is_(None))
    )
    user_id = (await conn.execute(wanted)).scalar_one_or_none()
    if user_id is None:
        raise no_such_link()
    return user_id


def no_such_link() -> NotFound:
    """One answer for every kind of link that does not work."""
    error = NotFound("sign-in link", "like this")
    error.message = "This sign-in link does not work: it was used, it is too old, or it was not copied in full."
    return error


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
