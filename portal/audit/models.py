"""Entries and the signed heads of their chain."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Id, Json, UtcDateTime, new_id


class AuditEntry(Base):
    """One action. `n` and `hash` are set once, by the sealer; nothing else of a row ever changes."""

    __tablename__ = "audit_entry"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor_kind: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[UUID] = mapped_column(Id)
    actor_name: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(60))
    target: Mapped[str] = mapped_column(String(200))
    before: Mapped[dict[str, Any] | None] = mapped_column(Json)
    after: Mapped[dict[str, Any] | None] = mapped_column(Json)
    # Place in the chain, from 1; NULL until sealed.
    n: Mapped[int | None] = mapped_column(BigInteger, unique=True, default=None)
    hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), default=None)

    __table_args__ = (
        Index("ix_audit_entry_target", "target", "id"),
        Index("ix_audit_entry_action", "action", "id"),
        Index("ix_audit_entry_actor_id", "actor_id", "id"),
    )


class AuditHead(Base):
    """The chain's last entry at the time of sealing, signed with a key that is not in the database."""

    __tablename__ = "audit_head"

    n: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    signature: Mapped[bytes] = mapped_column(LargeBinary(32))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
