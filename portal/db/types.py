"""Column types that behave the same on PostgreSQL, MariaDB and SQLite."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Float, LargeBinary, String, Text, literal
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.schema import MetaData
from sqlalchemy.sql import functions
from sqlalchemy.types import DateTime, TypeDecorator, TypeEngine

from portal.db.ids import id_from

_json_encoder = msgspec.json.Encoder()
_json_decoder = msgspec.json.Decoder()


class Base(DeclarativeBase):
    """Every table. Constraint names are fixed so that migrations agree on all databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        }
    )


class Id(TypeDecorator[UUID]):
    """A UUID: native on PostgreSQL, 16 bytes elsewhere, so that byte order is id order on all three."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=True))
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.BINARY(16))
        return dialect.type_descriptor(LargeBinary(16))

    def process_bind_param(self, value: UUID | str | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        identity = value if isinstance(value, UUID) else UUID(value)
        return identity if dialect.name == "postgresql" else identity.bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        if value is None or isinstance(value, UUID):
            return value
        return id_from(bytes(value))


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, aware and in UTC in Python, with microseconds in every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database; attach a zone")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """Any JSON value, kept as text: nothing queries inside it, and text costs the least on every database."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.LONGTEXT())
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else _json_encoder.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else _json_decoder.decode(value)


class Blob(TypeDecorator[bytes]):
    """Bytes without MariaDB's 64 KiB limit."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.LONGBLOB())
        return dialect.type_descriptor(LargeBinary())


def exact(length: int) -> String:
    """A text that is compared letter by letter, also where the database's habit is to pass over case, accents and blanks.

    PostgreSQL and SQLite compare so anyway.
    """
    text = String(length)
    text = text.with_variant(mysql.VARCHAR(length, collation="utf8mb4_nopad_bin"), "mariadb")
    return text.with_variant(mysql.VARCHAR(length, collation="utf8mb4_0900_bin"), "mysql")


class db_now(functions.FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's clock, `seconds` from now: the only clock that leases and due times are compared with."""

    type = UtcDateTime()
    inherit_cache = True
    name = "db_now"

    def __init__(self, seconds: float = 0.0) -> None:
        # Bound, not written into the text: one cached statement serves every offset.
        super().__init__(*([literal(float(seconds), Float)] if seconds else []))


@compiles(db_now, "postgresql")
def _postgresql_now(element: db_now, compiler: Any, **kw: Any) -> str:
    if not len(element.clauses):
        return "clock_timestamp()"
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(db_now, "mysql", "mariadb")
def _mysql_now(element: db_now, compiler: Any, **kw: Any) -> str:
    # The connection's time zone is set to UTC when it is opened.
    if not len(element.clauses):
        return "NOW(6)"
    return f"(NOW(6) + INTERVAL ({compiler.process(element.clauses, **kw)} * 1000000) MICROSECOND)"


@compiles(db_now, "sqlite")
def _sqlite_now(element: db_now, compiler: Any, **kw: Any) -> str:
    # Six digits, as the driver writes them, so that texts compare as instants do.
    if not len(element.clauses):
        return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"
    shift = f"printf('%+.3f seconds', {compiler.process(element.clauses, **kw)})"
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {shift}) || '000')"
