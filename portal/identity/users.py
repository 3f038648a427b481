"""Create users, give them roles, disable them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import Actor, RoleGrant, User
from portal.access.actor import SYSTEM
from portal.access.queries import AnyRow, roles_of
from portal.access.roles import check_roles
from portal.audit import record
from portal.db import Database, bulk, db_now, new_id
from portal.errors import Conflict, InvalidInput, NotFound
from portal.identity.links import INVITATION_LIFE, make_link
from portal.web.sessions import end_sessions_of


async def create_user(db: Database, email: str, roles: Iterable[str], *, name: str = "", actor: Actor = SYSTEM) -> str:
    """The path of a one-time link, good for a day, that signs the user in.

    A user who exists already keeps their account, gets these roles besides theirs and the new link: so the command can
    be repeated when a link was lost. Raises `InvalidInput` for a malformed address or an unknown role.
    """
    folded, chosen = check_email(email), check_roles(roles)
    try:
        return await db.transact(_create, actor, folded, chosen, name.strip())
    except IntegrityError:
        # Somebody created the same user at this moment; now they are there.
        return await db.transact(_create, actor, folded, chosen, name.strip())


async def invite_user(db: Database, actor: Actor, email: str, roles: Iterable[str], name: str = "") -> str:
    """As `create_user`, but raises `Conflict` when the user exists: an invitation must not raise anybody's rights."""
    folded, chosen = check_email(email), check_roles(roles)
    async with db.read() as conn:
        if (await conn.execute(select(User.id).where(User.email == folded))).first():
            raise Conflict(f"{folded} is a user already.", code="user_exists")
    return await create_user(db, folded, chosen, name=name, actor=actor)


async def new_link(conn: AsyncConnection, actor: Actor, user_id: UUID, life: timedelta = INVITATION_LIFE) -> str:
    """A new one-time link for a user who cannot sign in; earlier ones end."""
    user = await _user(conn, user_id)
    if user.disabled_at is not None:
        raise Conflict(f"{user.email} is disabled.", code="user_disabled")
    await record(conn, actor, "user.new_link", f"user/{user_id}")
    return await make_link(conn, user_id, life)


async def set_roles(conn: AsyncConnection, actor: Actor, user_id: UUID, roles: Iterable[str]) -> None:
    """The user has exactly these roles; their sessions end, so that no session outlives the rights it began with."""
    chosen = check_roles(roles)
    user = await _user(conn, user_id)
    before = (await roles_of(conn, [user_id])).get(user_id, [])
    if before == chosen:
        return
    if "admin" in before and "admin" not in chosen:
        await _keep_an_admin(conn, user_id)
    await _replace_roles(conn, user_id, chosen)
    await end_sessions_of(conn, user_id)
    await record(conn, actor, "user.set_roles", f"user/{user.id}", {"roles": before}, {"roles": chosen})


async def disable_user(conn: AsyncConnection, actor: Actor, user_id: UUID) -> None:
    """The user is out at once: sessions and links end, signing in fails."""
    user = await _user(conn, user_id)
    if user_id == actor.id:
        raise Conflict("You cannot disable yourself.", code="self")
    await _keep_an_admin(conn, user_id)
    await conn.execute(update(User).where(User.id == user_id, User.disabled_at.is_(None)).values(disabled_at=db_now()))
    await end_sessions_of(conn, user_id)
    await record(conn, actor, "user.disable", f"user/{user.id}")


async def enable_user(conn: AsyncConnection, actor: Actor, user_id: UUID) -> None:
    """The user may sign in again."""
    user = await _user(conn, user_id)
    await conn.execute(update(User).where(User.id == user_id).values(disabled_at=None))
    await record(conn, actor, "user.enable", f"user/{user.id}")


def fold_email(email: str) -> str:
    """The form in which addresses are stored and compared."""
    return email.strip().casefold()[:254]


def check_email(email: str) -> str:
    """The folded address; raises `InvalidInput` for one that cannot exist."""
    try:
        validate_email(email.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise InvalidInput({"email": "expected an e-mail address"}) from None
    return fold_email(email)


async def _create(conn: AsyncConnection, actor: Actor, email: str, roles: list[str], name: str) -> str:
    wanted = select(User.id, User.disabled_at).where(User.email == email).with_for_update()
    user = (await conn.execute(wanted)).one_or_none()
    if user is None:
        user_id = new_id()
        await conn.execute(insert(User).values(id=user_id, email=email, name=name[:200]))
    else:
        user_id = user.id
    before = (await roles_of(conn, [user_id])).get(user_id, [])
    after = sorted({*before, *roles})
    if user is not None and user.disabled_at is not None:
        await conn.execute(update(User).where(User.id == user_id).values(disabled_at=None))
    if after != before:
        await bulk.insert_ignore(conn, RoleGrant, [{"user_id": user_id, "role": role} for role in after])
        await end_sessions_of(conn, user_id)
    change = {"email": email, "roles": after}
    await record(conn, actor, "user.create" if user is None else "user.invite_again", f"user/{user_id}", None, change)
    return await make_link(conn, user_id, INVITATION_LIFE)


async def _user(conn: AsyncConnection, user_id: UUID) -> AnyRow:
    """The user's id, email and disabled_at, locked against others who change them; raises `NotFound`."""
    wanted = select(User.id, User.email, User.disabled_at).where(User.id == user_id).with_for_update()
    user = (await conn.execute(wanted)).one_or_none()
    if user is None:
        raise NotFound("user", user_id)
    return user


async def _replace_roles(conn: AsyncConnection, user_id: UUID, roles: list[str]) -> None:
    await conn.execute(delete(RoleGrant).where(RoleGrant.user_id == user_id))
    if roles:
        await conn.execute(insert(RoleGrant), [{"user_id": user_id, "role": role} for role in roles])


async def _keep_an_admin(conn: AsyncConnection, but: UUID) -> None:
    """Raise `Conflict` unless another administrator can sign in. Their rows are locked: two cannot remove each other."""
    wanted = (
        select(User.id)
        .join(RoleGrant, RoleGrant.user_id == User.id)
        .where(RoleGrant.role == "admin", User.disabled_at.is_(None))
        .order_by(User.id)
        .with_for_update()
    )
    admins = {row.id for row in (await conn.execute(wanted)).all()}
    if admins == {but}:
        raise Conflict("This is the last administrator; give somebody else the role first.", code="last_admin")


async def count_users(conn: AsyncConnection) -> int:
    """How many users there are, disabled ones included."""
    return (await conn.execute(select(func.count()).select_from(User))).scalar_one()
