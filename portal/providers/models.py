"""The tables of accounts, routes and shared vendor tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Float, ForeignKey, Index, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Blob, Id, Json, UtcDateTime, db_now, new_id


class ProviderAccount(Base):
    """A configured provider. `settings` has what may be shown; `sealed` is the JSON of the secret fields, sealed."""

    __tablename__ = "provider_account"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    key: Mapped[str] = mapped_column(String(100), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    channel: Mapped[str] = mapped_column(String(40))
    provider: Mapped[str] = mapped_column(String(40))
    settings: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    sealed: Mapped[bytes | None] = mapped_column(Blob, default=None)
    settings_version: Mapped[int] = mapped_column(Integer, default=1)
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    # Vendor calls at once, per process.
    concurrency: Mapped[int] = mapped_column(Integer, default=20)
    # Total deadline of one vendor call.
    timeout_seconds: Mapped[float] = mapped_column(Float, default=30.0)
    # Raised by every change: the cache compares it, and an API client sends it back as If-Match.
    version: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())


class Route(Base):
    """One step of a channel's route: the accounts are tried by rising position. An application may have its own."""

    __tablename__ = "route"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    channel: Mapped[str] = mapped_column(String(40))
    application_id: Mapped[UUID | None] = mapped_column(Id, default=None)
    position: Mapped[int] = mapped_column(Integer)
    account_id: Mapped[UUID] = mapped_column(Id, ForeignKey("provider_account.id", ondelete="CASCADE"), index=True)
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())

    __table_args__ = (Index("ix_route_channel", "channel", "application_id", "position"),)


class VendorToken(Base):
    """A value that all processes share until it expires; whoever holds `fetching_until` fetches the next one."""

    __tablename__ = "vendor_token"

    account_id: Mapped[UUID] = mapped_column(
        Id, ForeignKey("provider_account.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary(8192), default=None)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    fetching_until: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
