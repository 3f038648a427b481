"""Table: sessions of people who are signed in."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Id, UtcDateTime, db_now


class Session(Base):
    """One browser that somebody signed in with. The cookie holds the secret, the row only its SHA-256."""

    __tablename__ = "session"

    id_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("portal_user.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    method: Mapped[str] = mapped_column(String(20))
    address: Mapped[str] = mapped_column(String(64), default="")
    user_agent: Mapped[str] = mapped_column(String(300), default="")
