"""Tables: the entries of the audit, the signed heads of their chain, and the row that elects the sealer."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Id, Json, UtcDateTime, db_now, new_id


class AuditEntry(Base):
    """One change. `seq` and `hash` are empty until the sealer has chained it; nothing is changed after that."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index("ix_audit_entry_created_at_id", "created_at", "id"),)

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    actor_kind: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[UUID] = mapped_column(Id, index=True)
    actor_name: Mapped[str] = mapped_column(String(254))
    action: Mapped[str] = mapped_column(String(80), index=True)
    target: Mapped[str] = mapped_column(String(254), index=True)
    before: Mapped[dict[str, Any] | None] = mapped_column(Json, default=None)
    after: Mapped[dict[str, Any] | None] = mapped_column(Json, default=None)
    seq: Mapped[int | None] = mapped_column(BigInteger, unique=True, default=None)
    hash: Mapped[str | None] = mapped_column(String(64), default=None)


class AuditHead(Base):
    """The chain's end after one sealing, signed with Ed25519; the same line goes to the log, outside the database."""

    __tablename__ = "audit_head"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(64))
    signature: Mapped[str] = mapped_column(String(128))
    signed_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())


class AuditSealer(Base):
    """One row; who holds its lock seals."""

    __tablename__ = "audit_sealer"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    note: Mapped[str] = mapped_column(Text, default="")
