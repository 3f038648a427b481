"""Tables: applications and their keys, users and their roles, the check of the secret key."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Float, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Id, Json, UtcDateTime, db_now, new_id


class Application(Base):
    """A business system that sends. In trial it reaches only the addresses of its guest list."""

    __tablename__ = "application"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    key: Mapped[str] = mapped_column(String(100), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    owner: Mapped[str] = mapped_column(String(200), default="")
    rate_per_second: Mapped[float | None] = mapped_column(Float, default=None)
    trial: Mapped[bool] = mapped_column(Boolean, default=False)
    guest_list: Mapped[list[Any]] = mapped_column(Json, default=list)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())


class ApiKey(Base):
    """A key of an application. Only its SHA-256 is kept: 256 random bits need no slow hash."""

    __tablename__ = "api_key"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    application_id: Mapped[UUID] = mapped_column(Id, ForeignKey("application.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    mode: Mapped[str] = mapped_column(String(10))
    prefix: Mapped[str] = mapped_column(String(20))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(Json)
    rate_per_second: Mapped[float | None] = mapped_column(Float, default=None)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)


class User(Base):
    """A person who signs in to the portal. `email` is case-folded; no password means: by one-time link only."""

    __tablename__ = "portal_user"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    password_hash: Mapped[str | None] = mapped_column(String(200), default=None)
    password_changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    last_signed_in_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)


class RoleGrant(Base):
    """One role of one user."""

    __tablename__ = "role_grant"

    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("portal_user.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(40), primary_key=True)
    granted_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())


class KeyCheck(Base):
    """A known value sealed under each master key in use, and which key makes the hashes; refuses a wrong secret."""

    __tablename__ = "key_check"

    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary(256))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
