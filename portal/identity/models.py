"""Tables: one-time links and the counters that slow down guessing."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Id, UtcDateTime, db_now


class SignInLink(Base):
    """A link that signs its user in, once. Only the SHA-256 of its token is kept."""

    __tablename__ = "sign_in_link"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("portal_user.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)


class SignInFailure(Base):
    """Failed sign-ins of one account or one address, as a keyed hash: the table tells nobody who was tried."""

    __tablename__ = "sign_in_failure"

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
