"""Set-based writes: the one place where each database's fastest way in is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Table, bindparam
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db.types import Base, Id, UtcDateTime

Row = Mapping[str, Any]
# From so many rows on COPY is the cheapest way into PostgreSQL.
COPY_FROM = 8
VALUES_AT_ONCE = 500


async def insert(conn: AsyncConnection, table: type[Base], rows: Sequence[Row]) -> None:
    """Insert rows that all have the same keys; columns left out get the default of the model, as with `insert()`."""
    if not rows:
        return
    if conn.dialect.name == "postgresql" and len(rows) >= COPY_FROM:
        await _copy(conn, table, rows)
        return
    for start in range(0, len(rows), VALUES_AT_ONCE):
        await conn.execute(sa.insert(table), list(rows[start : start + VALUES_AT_ONCE]))


async def insert_ignore(conn: AsyncConnection, table: type[Base], rows: Sequence[Row]) -> None:
    """Insert rows, leaving those whose key exists already untouched."""
    if not rows:
        return
    dialect = conn.dialect.name
    if dialect == "postgresql" and len(rows) >= COPY_FROM:
        await _insert_ignore_from_arrays(conn, table, rows)
        return
    if dialect == "postgresql":
        statement: Any = postgresql.insert(table).on_conflict_do_nothing()
    elif dialect == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing()
    else:
        # INSERT IGNORE would also swallow wrong data; assigning a column to itself swallows conflicts only.
        key = next(iter(_table(table).primary_key.columns))
        statement = mysql.insert(table)
        statement = statement.on_duplicate_key_update({key.name: _table(table).c[key.name]})
    await conn.execute(statement, list(rows))


async def update(conn: AsyncConnection, table: type[Base], keys: Sequence[str], rows: Sequence[Row]) -> None:
    """Update one row per mapping, found by the columns `keys`; the other entries are the new values."""
    if not rows:
        return
    if conn.dialect.name == "postgresql" and len(rows) > 1:
        await _update_from_arrays(conn, table, keys, rows)
        return
    statement = sa.update(_table(table))
    for key in keys:
        statement = statement.where(_table(table).c[key] == bindparam(f"key_{key}"))
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in rows[0] if name not in keys}
    renamed = [{f"key_{name}" if name in keys else f"new_{name}": value for name, value in row.items()} for row in rows]
    await conn.execute(statement.values(values), renamed)


def _table(model: type[Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


@cache
def _binders(table: Table, names: tuple[str, ...], dialect: Any) -> tuple[Any, ...]:
    """The bind processor of each column (None: the value goes as it is)."""
    return tuple(_binder(table.c[name].type, dialect) for name in names)


def _binder(kind: Any, dialect: Any) -> Any:
    # asyncpg takes UUIDs and aware datetimes as they are; the detour costs more than everything else here.
    if dialect.name == "postgresql" and isinstance(kind, Id | UtcDateTime):
        return None
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _columns(conn: AsyncConnection, table: Table, names: tuple[str, ...], rows: Sequence[Row]) -> list[list[Any]]:
    columns = []
    for name, bind in zip(names, _binders(table, names, conn.dialect), strict=True):
        columns.append([bind(row[name]) for row in rows] if bind else [row[name] for row in rows])
    return columns


@cache
def _defaults(table: Table, given: tuple[str, ...], dialect: Any) -> list[tuple[str, Callable[[], Any]]]:
    """A maker of the bound default of each column that was left out and has one in the model."""
    makers = []
    for column in table.columns:
        if column.name in given or not isinstance(column.default, sa.ColumnDefault):
            continue
        makers.append((column.name, _maker(column.default, _binder(column.type, dialect))))
    return makers


def _maker(default: Any, bind: Any) -> Callable[[], Any]:
    def make() -> Any:
        value = default.arg(None) if default.is_callable else default.arg
        return bind(value) if bind else value

    return make


async def _driver(conn: AsyncConnection) -> Any:
    """asyncpg's own connection below SQLAlchemy's, inside the same transaction."""
    raw = await conn.get_raw_connection()
    driver: Any = raw.driver_connection
    if not driver.is_in_transaction():
        # SQLAlchemy opens the transaction with its first statement; what follows must be inside it.
        await conn.exec_driver_sql("SELECT 1")
    return driver


async def _copy(conn: AsyncConnection, model: type[Base], rows: Sequence[Row]) -> None:
    """COPY costs about half of a multi-row INSERT and a third of an INSERT from arrays, from eight rows on."""
    table = _table(model)
    names = tuple(rows[0])
    columns = _columns(conn, table, names, rows)
    for name, default in _defaults(table, names, conn.dialect):
        names += (name,)
        columns.append([default() for _ in rows])
    driver = await _driver(conn)
    await driver.copy_records_to_table(table.name, records=zip(*columns, strict=True), columns=names)


async def _insert_ignore_from_arrays(conn: AsyncConnection, model: type[Base], rows: Sequence[Row]) -> None:
    """INSERT … SELECT FROM unnest(arrays): COPY cannot pass over conflicts, and a statement per row costs three times this."""
    table = _table(model)
    names = tuple(rows[0])
    columns = _columns(conn, table, names, rows)
    for name, default in _defaults(table, names, conn.dialect):
        names += (name,)
        columns.append([default() for _ in rows])
    driver = await _driver(conn)
    await driver.execute(_insert_ignore_text(table, names, conn.dialect), *columns)


@cache
def _insert_ignore_text(table: Table, names: tuple[str, ...], dialect: Any) -> str:
    kinds = [table.c[name].type.dialect_impl(dialect).compile(dialect) for name in names]
    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(kinds, start=1))
    columns = ", ".join(f'"{name}"' for name in names)
    return f'INSERT INTO "{table.name}" ({columns}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING'  # noqa: S608 - names of our own columns


async def _update_from_arrays(
    conn: AsyncConnection, model: type[Base], keys: Sequence[str], rows: Sequence[Row]
) -> None:
    """UPDATE … FROM unnest(arrays): one statement, one plan and one round trip however many rows there are.

    A column with the same value in every row travels once instead of as an array: most of a settlement is like that.
    """
    table = _table(model)
    names = tuple(rows[0])
    columns = _columns(conn, table, names, rows)
    # The first key stays an array: it says how many rows there are.
    shared = tuple(name != keys[0] and _is_shared(column) for name, column in zip(names, columns, strict=True))
    values = [column[0] if once else column for once, column in zip(shared, columns, strict=True)]
    driver = await _driver(conn)
    await driver.execute(_update_text(table, tuple(keys), names, shared, conn.dialect), *values)


def _is_shared(column: list[Any]) -> bool:
    first = column[0]
    return all(value is first for value in column)


@cache
def _update_text(
    table: Table, keys: tuple[str, ...], names: tuple[str, ...], shared: tuple[bool, ...], dialect: Any
) -> str:
    values, listed = {}, []
    for n, (name, once) in enumerate(zip(names, shared, strict=True), start=1):
        kind = table.c[name].type.dialect_impl(dialect).compile(dialect)
        values[name] = f"${n}::{kind}" if once else f'given."{name}"'
        if not once:
            listed.append((f"${n}::{kind}[]", f'"{name}"'))
    arrays, given = (", ".join(column) for column in zip(*listed, strict=True))
    sets = ", ".join(f'"{name}" = {value}' for name, value in values.items() if name not in keys)
    match = " AND ".join(f'target."{key}" = {values[key]}' for key in keys)
    return f'UPDATE "{table.name}" AS target SET {sets} FROM unnest({arrays}) AS given({given}) WHERE {match}'  # noqa: S608 - names of our own columns
