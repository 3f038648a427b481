"""Reads: users with their roles."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access import User
from portal.access.queries import roles_of


class UserView(Struct, frozen=True, kw_only=True):
    """A user as lists show them."""

    id: UUID
    email: str
    name: str
    roles: list[str]
    created_at: datetime
    last_signed_in_at: datetime | None
    disabled_at: datetime | None
    has_password: bool

    @property
    def status(self) -> str:
        """`disabled`, `invited` (never signed in) or `active`."""
        if self.disabled_at is not None:
            return "disabled"
        return "active" if self.last_signed_in_at is not None else "invited"


def _users() -> Any:
    columns = (User.id, User.email, User.name, User.created_at, User.last_signed_in_at, User.disabled_at)
    return select(*columns, User.password_hash.isnot(None).label("has_password"))


async def users(conn: AsyncConnection, search: str = "", limit: int = 500) -> list[UserView]:
    """Users by address, at most `limit`."""
    wanted = _users().order_by(User.email).limit(limit)
    if search:
        found = or_(
            User.email.contains(search.casefold(), autoescape=True), User.name.contains(search, autoescape=True)
        )
        wanted = wanted.where(found)
    rows = (await conn.execute(wanted)).all()
    roles = await roles_of(conn, [row.id for row in rows])
    return [_view(row, roles) for row in rows]


async def user_by_id(conn: AsyncConnection, user_id: UUID) -> UserView | None:
    """One user."""
    row = (await conn.execute(_users().where(User.id == user_id))).one_or_none()
    return None if row is None else _view(row, await roles_of(conn, [user_id]))


def _view(row: Any, roles: dict[UUID, list[str]]) -> UserView:
    facts = {**row._mapping, "has_password": bool(row.has_password), "roles": roles.get(row.id, [])}
    return UserView(**facts)
