"""Sign in, by password or by one-time link. Both end in a new session; the old one is gone."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor, User
from portal.access.queries import user_actor
from portal.audit import record
from portal.db import Database, db_now
from portal.errors import InvalidInput, NotFound
from portal.identity import passwords
from portal.identity.links import no_such_link, use_link
from portal.identity.throttle import keys_for, note_failure, note_success, refuse_when_blocked
from portal.identity.users import fold_email
from portal.sealing import Keyring
from portal.web.sessions import start_session

WRONG = "The e-mail address or the password is wrong."


async def sign_in_by_password(
    db: Database, keyring: Keyring, email: str, password: str, *, address: str, user_agent: str, replaces: str = ""
) -> str:
    """The identifier of a new session.

    Raises `InvalidInput` with one sentence for an unknown user, a disabled one, one without a password and a wrong
    password, after the same work; raises `TooMany` when account or address failed too often.
    """
    keys = keys_for(keyring, fold_email(email), address)
    await refuse_when_blocked(db, keys)
    async with db.read() as conn:
        wanted = select(User.id, User.password_hash).where(User.email == fold_email(email), User.disabled_at.is_(None))
        user = (await conn.execute(wanted)).one_or_none()
    if not await passwords.is_password(user.password_hash if user else None, password) or user is None:
        await db.transact(note_failure, keys)
        raise InvalidInput({"": WRONG}, code="wrong_credentials")
    return await db.transact(_start, user.id, "password", address, user_agent, replaces, keys)


async def sign_in_by_link(
    db: Database, token: str, *, address: str, user_agent: str, replaces: str = ""
) -> tuple[UUID, str]:
    """`(user id, identifier of a new session)`; raises `NotFound` for a link that does not work (any more)."""
    return await db.transact(_use, token, address, user_agent, replaces)


async def _use(conn: AsyncConnection, token: str, address: str, user_agent: str, replaces: str) -> tuple[UUID, str]:
    user_id = await use_link(conn, token)
    return user_id, await _start(conn, user_id, "link", address, user_agent, replaces, [])


async def _start(
    conn: AsyncConnection, user_id: UUID, method: str, address: str, user_agent: str, replaces: str, keys: list[str]
) -> str:
    actor = await user_actor(conn, user_id)
    if actor is None:
        raise no_such_link()
    if keys:
        await note_success(conn, keys)
    await conn.execute(update(User).where(User.id == user_id).values(last_signed_in_at=db_now()))
    await record(conn, actor, "user.sign_in", f"user/{user_id}", None, {"by": method, "address": address})
    return await start_session(conn, user_id, method=method, address=address, user_agent=user_agent, replaces=replaces)


async def set_password(
    db: Database, actor: Actor, password: str, *, present: str | None, without_present: bool
) -> None:
    """The user's new password. `without_present` says that the session began with a link, which proves as much.

    Raises `InvalidInput` for a weak password or a wrong present one.
    """
    async with db.read() as conn:
        wanted = select(User.email, User.name, User.password_hash).where(User.id == actor.id)
        user = (await conn.execute(wanted)).one_or_none()
    if user is None:
        raise NotFound("user", actor.id)
    if user.password_hash is not None and not without_present:
        if not await passwords.is_password(user.password_hash, present or ""):
            raise InvalidInput({"present": "expected your present password"})
    passwords.check_password(password, user.email, user.name)
    await db.transact(_store_password, actor, await passwords.hash_password(password))


async def _store_password(conn: AsyncConnection, actor: Actor, stored: str) -> None:
    values = {"password_hash": stored, "password_changed_at": db_now()}
    await conn.execute(update(User).where(User.id == actor.id).values(values))
    await record(conn, actor, "user.set_password", f"user/{actor.id}")
