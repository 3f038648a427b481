"""One database: its connections, its transactions and what each product needs to keep our promises."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from portal.errors import SettingsError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

DRIVERS = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "mariadb": "mariadb+asyncmy",
    "mysql": "mysql+asyncmy",
    "sqlite": "sqlite+aiosqlite",
}
BUSY_SECONDS = 5.0
TRANSACTION_TRIES = 6
# Deadlock and serialization failures, by SQLSTATE (PostgreSQL) and error number (MariaDB: 1213 deadlock, 1205 lock wait,
# 1020 "record has changed since last read", which its snapshot isolation check raises).
RETRYABLE_STATES = frozenset({"40001", "40P01", "55P03"})
# MariaDB: disk or memory full, too many connections, shutdown, read-only, connection refused or lost.
OUTAGE_NUMBERS = frozenset(
    {1021, 1037, 1040, 1041, 1053, 1114, 1203, 1290, 1317, 1836, 2002, 2003, 2006, 2013, 2014, 2055, 3024}
)
RETRYABLE_NUMBERS = frozenset({1213, 1205, 1020})


class Database:
    """The leader database of one process.

    `read()` gives a connection for queries, `write()` one transaction, `transact()` a transaction that is tried again
    on deadlocks. SQLite has one writer, so writes of a process queue on a lock before they reach the file's own.
    """

    def __init__(self, url: str, *, pool: int = 8) -> None:
        self.url = _with_driver(url)
        self.dialect = {"mysql": "mariadb"}.get(self.url.get_backend_name(), self.url.get_backend_name())
        self.engine = _engine(self.url, self.dialect, pool)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = asyncio.Lock() if self.dialect == "sqlite" else None

    async def close(self) -> None:
        """Give every connection back."""
        await self.engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reads; each statement sees what is committed when it starts."""
        async with _speaking_plainly(), self._autocommit.connect() as conn:
            yield conn

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back when the block raises."""
        if self._writer is None:
            async with _speaking_plainly(), self.engine.begin() as conn:
                yield conn
            return
        async with _speaking_plainly(), self._writer, self.engine.connect() as conn:
            # Taking the write lock at once waits politely; upgrading a read lock later would fail at once.
            await conn.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield conn
            except BaseException:
                await asyncio.shield(conn.rollback())
                raise
            await conn.commit()

    @asynccontextmanager
    async def single(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which each statement is its own transaction: no BEGIN and COMMIT on the wire."""
        if self._writer is None:
            async with self.read() as conn:
                yield conn
        else:
            async with self.write() as conn:
                yield conn

    async def transact(
        self, verb: Callable[Concatenate[AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`await verb(conn, …)` in one transaction, tried again on a deadlock; the verb must bear being repeated."""
        for attempt in range(1, TRANSACTION_TRIES + 1):
            try:
                async with self.write() as conn:
                    return await verb(conn, *args, **kwargs)
            except Exception as error:
                if attempt == TRANSACTION_TRIES or not is_contention(error):
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
        raise AssertionError("unreachable: the last try returns or raises")

    async def ping(self) -> None:
        """Return when the database answers; raise `Unavailable` otherwise."""
        async with self.read() as conn:
            await conn.execute(text("SELECT 1"))


def is_contention(error: BaseException) -> bool:
    """True for a deadlock, a serialization failure or a lock that was not had in time: repeating may succeed.

    Not for a busy SQLite file: whoever began has waited for it already, and waiting again would take too long.
    """
    original = getattr(error, "orig", error)
    if getattr(original, "sqlstate", None) in RETRYABLE_STATES:
        return True
    return _number(original) in RETRYABLE_NUMBERS


def _number(error: BaseException | None) -> Any:
    """The driver's error number, which MariaDB's puts first; None without one."""
    arguments: tuple[Any, ...] = getattr(error, "args", ())
    return arguments[0] if arguments else None


def is_outage(error: BaseException) -> bool:
    """True when the database could not be reached, went away or had no connection left: nobody's data is to blame."""
    # `bulk` speaks to asyncpg itself, whose errors come without SQLAlchemy's wrapping.
    state = getattr(getattr(error, "orig", error), "sqlstate", None) or ""
    # 08 connection, 53 resources (disk full, memory, connections), 57P shutdown, 58 system, XX internal.
    if state[:2] in ("08", "53", "58", "XX") or state.startswith("57P"):
        return True
    if isinstance(error, DBAPIError):
        if error.connection_invalidated or isinstance(error, InterfaceError):
            return True
        if _number(error.orig) in OUTAGE_NUMBERS:
            return True
        sqlite_words = ("unable to open", "disk is full", "disk I/O", "readonly", "locked")
        return isinstance(error.orig, sqlite3.OperationalError) and any(
            word in str(error.orig) for word in sqlite_words
        )
    return (
        isinstance(error, (OSError, EOFError, TimeoutError, asyncio.TimeoutError, OperationalError))
        or (type(error).__module__.startswith(("asyncpg", "asyncmy")) and "onnect" in f"{type(error).__name__} {error}")
        or type(error).__name__ == "TimeoutError"
    )


@asynccontextmanager
async def _speaking_plainly() -> AsyncIterator[None]:
    """An outage of the database is `Unavailable` to the caller; every other error stays what it is."""
    try:
        yield
    except Exception as error:
        if is_contention(error):
            raise
        if is_outage(error):
            log.warning("the database does not answer: %s", type(getattr(error, "orig", error)).__name__)
            raise Unavailable("The database does not answer now; try again shortly.") from error
        raise


def _with_driver(url: str) -> URL:
    try:
        parsed = make_url(url)
        driver = DRIVERS[parsed.drivername.split("+")[0]]
    except Exception:
        names = ", ".join(f"{name}://" for name in DRIVERS)
        raise SettingsError(f"PORTAL_DATABASE_URL: expected an address that starts with one of {names}.") from None
    return parsed.set(drivername=driver)


def _engine(url: URL, dialect: str, pool: int) -> AsyncEngine:
    if dialect == "sqlite":
        if url.database and url.database != ":memory:":
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(
            url, pool_size=pool, max_overflow=0, pool_timeout=BUSY_SECONDS, connect_args={"timeout": BUSY_SECONDS}
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        return engine
    common: dict[str, Any] = {"pool_size": pool, "max_overflow": 2, "pool_timeout": BUSY_SECONDS, "pool_recycle": 1800}
    if dialect == "postgresql":
        connect = {"timeout": 5, "command_timeout": 60, "server_settings": {"application_name": "push-portal"}}
        # A prepared statement survives a migration of another process only with `pool_pre_ping` off and a fresh plan;
        # asyncpg re-prepares by itself outside transactions, and `transact` repeats inside them.
        return create_async_engine(url, connect_args=connect, **common)
    # READ COMMITTED: without gap locks two workers that settle neighbours do not deadlock.
    engine = create_async_engine(
        url, isolation_level="READ COMMITTED", connect_args={"connect_timeout": 5, "charset": "utf8mb4"}, **common
    )
    event.listen(engine.sync_engine, "connect", _prepare_mariadb)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """WAL for readers beside the writer, FULL because a 202 promises durability; transactions are begun by us."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={int(BUSY_SECONDS * 1000)}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_mariadb(connection: Any, _record: Any) -> None:
    """UTC for NOW(), and errors instead of silently shortened values."""
    cursor = connection.cursor()
    cursor.execute(
        "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 5"
    )
    cursor.close()
