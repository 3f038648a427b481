"""People, addresses, ids in other systems, groups and memberships."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, ForeignKey, Index, Integer, String
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Id, UtcDateTime, db_now, new_id


def exact(length: int) -> String:
    """A text that is compared exactly, also where the database would take capitals and small letters for the same."""
    return String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


class Person(Base):
    """Somebody who may receive. A merged person stays as a pointer; an archived one keeps nothing but its id."""

    __tablename__ = "person"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200), default="")
    locale: Mapped[str | None] = mapped_column(String(35), default=None)
    timezone: Mapped[str | None] = mapped_column(String(64), default=None)
    merged_into: Mapped[UUID | None] = mapped_column(Id, default=None)
    # Raised by every change of the person or its addresses: an API client sends it back as If-Match.
    revision: Mapped[int] = mapped_column(Integer, default=1)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())

    __table_args__ = (Index("ix_person_created", "created_at", "id"),)


class Address(Base):
    """One way to reach a person. `value` is in the form its channel compares by; a dead one is never used again."""

    __tablename__ = "address"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    person_id: Mapped[UUID] = mapped_column(Id, ForeignKey("person.id"))
    channel: Mapped[str] = mapped_column(String(40))
    value: Mapped[str] = mapped_column(exact(500))
    is_primary: Mapped[bool] = mapped_column(Boolean, default=False)
    verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    dead_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    dead_reason: Mapped[str | None] = mapped_column(String(200), default=None)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())

    __table_args__ = (
        Index("ix_address_person", "person_id", "channel", "value", unique=True),
        Index("ix_address_value", "value", "channel"),
    )


class PersonExternalId(Base):
    """A person's id in another system. One id of a system belongs to one person."""

    __tablename__ = "external_id"

    source: Mapped[str] = mapped_column(exact(100), primary_key=True)
    value: Mapped[str] = mapped_column(exact(200), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(Id, ForeignKey("person.id"), index=True)


class Group(Base):
    """People who can be written to together."""

    __tablename__ = "person_group"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True, default=new_id)
    key: Mapped[str] = mapped_column(exact(100), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())

    __table_args__ = (Index("ix_person_group_created", "created_at", "id"),)


class Membership(Base):
    """That a person is in a group, and who says so: local, oidc, scim or ldap."""

    __tablename__ = "membership"

    group_id: Mapped[UUID] = mapped_column(Id, ForeignKey("person_group.id"), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(Id, ForeignKey("person.id"), primary_key=True, index=True)
    source: Mapped[str] = mapped_column(String(20), default="local")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=db_now())
