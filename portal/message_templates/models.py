"""Templates, with the draft that is being written, and their published versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Integer, String
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Id, Json, UtcDateTime, db_now, new_id

# A key is compared exactly, also where the database would take capitals and small letters for the same.
Key = String(100).with_variant(mysql.VARCHAR(100, collation="utf8mb4_bin"), "mysql", "mariadb")


class Template(Base):
    """One kind of message under a key. `draft` is {"parts", "contract"} as its author left them."""

    __tablename__ = "template"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    key: Mapped[str] = mapped_column(Key, unique=True)
    name: Mapped[str] = mapped_column(String(200))
    category: Mapped[str | None] = mapped_column(String(60), default=None)
    priority: Mapped[str | None] = mapped_column(String(10), default=None)
    default_locale: Mapped[str] = mapped_column(String(35))
    draft: Mapped[dict[str, Any]] = mapped_column(Json)
    # Raised by every change of the draft: an API client sends it back as If-Match.
    revision: Mapped[int] = mapped_column(Integer, default=1)
    current_version_id: Mapped[UUID | None] = mapped_column(Id, default=None)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())

    __table_args__ = (Index("ix_template_created", "created_at", "id"),)


class TemplateVersion(Base):
    """What was published once; never changed. `source` is as written, `parts` is ready to render.

    Both are channel → locale → part → text. `kinds` (channel → part → kind) lets a version render without its plugin.
    """

    __tablename__ = "template_version"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    template_id: Mapped[UUID] = mapped_column(Id, ForeignKey("template.id"))
    n: Mapped[int] = mapped_column(Integer)
    source: Mapped[dict[str, Any]] = mapped_column(Json)
    parts: Mapped[dict[str, Any]] = mapped_column(Json)
    kinds: Mapped[dict[str, Any]] = mapped_column(Json)
    channels: Mapped[list[str]] = mapped_column(Json)
    contract: Mapped[dict[str, Any]] = mapped_column(Json)
    default_locale: Mapped[str] = mapped_column(String(35))
    published_by: Mapped[str] = mapped_column(String(200))
    published_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())

    __table_args__ = (Index("ix_template_version_n", "template_id", "n", unique=True),)
