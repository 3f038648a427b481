"""The table of uploaded files. Notifications themselves are tables of the ledger."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Blob, Id, UtcDateTime, db_now, new_id


class AttachmentFile(Base):
    """A file that an application uploaded to go with its notifications, until it expires."""

    __tablename__ = "attachment"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    application_id: Mapped[UUID] = mapped_column(Id)
    name: Mapped[str] = mapped_column(String(255))
    content_type: Mapped[str] = mapped_column(String(127))
    size: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes] = mapped_column(Blob)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (Index("ix_attachment_expires_at", "expires_at"),)
