"""Categories and suppressions."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Id, UtcDateTime, db_now, new_id


class Category(Base):
    """What a preference is about, and how its notifications are treated when a crash leaves their sending in doubt."""

    __tablename__ = "category"

    key: Mapped[str] = mapped_column(String(60), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    # A required category ignores preferences and caps.
    required: Mapped[bool] = mapped_column(Boolean, default=False)
    # `resend`: rather twice than never. `hold`: rather keep it as unknown than send it twice.
    doubt_policy: Mapped[str] = mapped_column(String(8), default="resend")
    # Marked by an approver: bulk requests of this category need no approval.
    transactional: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())


class Suppression(Base):
    """An address that must not be used: it bounced, complained or was blocked by somebody."""

    __tablename__ = "suppression"

    channel: Mapped[str] = mapped_column(String(40), primary_key=True)
    address: Mapped[str] = mapped_column(String(500), primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, default=new_id)
    reason: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
