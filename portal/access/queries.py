"""Reads: keys, applications, users and their roles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Select

from portal.access.actor import Actor
from portal.access.models import ApiKey, Application, RoleGrant, User
from portal.access.roles import permissions_of

AnyRow = Row[*tuple[Any, ...]]


def _keys() -> Select[*tuple[Any, ...]]:
    return select(
        ApiKey.id,
        ApiKey.name,
        ApiKey.mode,
        ApiKey.prefix,
        ApiKey.sha256,
        ApiKey.scopes,
        ApiKey.rate_per_second,
        ApiKey.created_at,
        ApiKey.expires_at,
        ApiKey.revoked_at,
        ApiKey.last_used_at,
        Application.id.label("application_id"),
        Application.key.label("application_key"),
        Application.name.label("application_name"),
        Application.rate_per_second.label("application_rate"),
        Application.trial,
        Application.guest_list,
    ).join_from(ApiKey, Application)


async def keys_in_use(conn: AsyncConnection) -> Sequence[AnyRow]:
    """Every key that is not revoked, with its application: what the cache holds."""
    return (await conn.execute(_keys().where(ApiKey.revoked_at.is_(None)))).all()


async def keys_by_digest(conn: AsyncConnection, digests: Iterable[str]) -> Sequence[AnyRow]:
    """The keys in use among these digests."""
    wanted = _keys().where(ApiKey.revoked_at.is_(None), ApiKey.sha256.in_(list(digests)))
    return (await conn.execute(wanted)).all()


async def keys_listed(conn: AsyncConnection, limit: int = 500) -> Sequence[AnyRow]:
    """Keys for people to see, the newest first, revoked ones included; never with their digest in a page."""
    return (await conn.execute(_keys().order_by(ApiKey.created_at.desc(), ApiKey.id.desc()).limit(limit))).all()


async def key_of(conn: AsyncConnection, key_id: UUID) -> AnyRow | None:
    """One key with its application."""
    return (await conn.execute(_keys().where(ApiKey.id == key_id))).one_or_none()


async def applications(conn: AsyncConnection) -> Sequence[AnyRow]:
    """Every application by name."""
    columns = (Application.id, Application.key, Application.name, Application.owner, Application.rate_per_second)
    wanted = select(*columns, Application.trial, Application.guest_list, Application.created_at)
    return (await conn.execute(wanted.order_by(Application.name, Application.id))).all()


async def application_by_key(conn: AsyncConnection, key: str) -> AnyRow | None:
    """The application with this key."""
    return (await conn.execute(select(Application.id, Application.name).where(Application.key == key))).one_or_none()


async def roles_of(conn: AsyncConnection, user_ids: Iterable[UUID]) -> dict[UUID, list[str]]:
    """user id → the roles, sorted."""
    found: dict[UUID, list[str]] = {}
    wanted = select(RoleGrant.user_id, RoleGrant.role).where(RoleGrant.user_id.in_(list(user_ids)))
    for user_id, role in (await conn.execute(wanted.order_by(RoleGrant.role))).all():
        found.setdefault(user_id, []).append(role)
    return found


async def user_actor(conn: AsyncConnection, user_id: UUID) -> Actor | None:
    """The user as an actor, or None when there is none or they are disabled."""
    wanted = select(User.id, User.email, User.name).where(User.id == user_id, User.disabled_at.is_(None))
    user = (await conn.execute(wanted)).one_or_none()
    if user is None:
        return None
    roles = (await roles_of(conn, [user.id])).get(user.id, [])
    return Actor(kind="user", id=user.id, name=user.name or user.email, permissions=permissions_of(roles))
