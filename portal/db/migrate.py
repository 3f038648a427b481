"""Bring a database to the newest migration, by one process at a time."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db.engine import Database
from portal.db.version import MIGRATIONS
from portal.errors import Unavailable

# Any number that nobody else uses as an advisory lock: the letters "portal".
LOCK = 0x706F7274616C
WAIT_SECONDS = 300

log = logging.getLogger(__name__)


def configuration() -> Config:
    """Alembic's configuration, wherever the command was started."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(hour).2d%%(minute).2d_%%(slug)s")
    config.set_main_option("timezone", "UTC")
    return config


async def upgrade(url: str) -> None:
    """Migrate to the newest version. Commits; two processes at once do it one after the other."""
    db = Database(url, pool=2)
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not await _upgraded(db, last=time.monotonic() > deadline):
            log.info("another process holds the database; trying again")
    finally:
        await db.close()


async def _upgraded(db: Database, *, last: bool) -> bool:
    """Whether it is done; False when SQLite gave up waiting for a file that another process may still be migrating."""
    try:
        # A lock of the session, on a connection of its own: MariaDB commits at every change of a table.
        async with _alone(db), db.write() as conn:
            await conn.run_sync(_upgrade)
    except Unavailable as error:
        if last or not _busy(error.__cause__):
            raise
        return False
    return True


def _busy(error: BaseException | None) -> bool:
    original = getattr(error, "orig", error)
    return isinstance(original, sqlite3.OperationalError) and "locked" in str(original)


def _upgrade(connection: Connection) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def _alone(db: Database) -> AsyncIterator[None]:
    if db.dialect == "sqlite":
        yield  # the file's own write lock is taken by the transaction
        return
    async with db.read() as conn:
        await _lock(conn, db.dialect)
        try:
            yield
        finally:
            unlock = {"postgresql": "SELECT pg_advisory_unlock(:lock)", "mariadb": "SELECT RELEASE_LOCK(:lock)"}
            await conn.execute(text(unlock[db.dialect]), {"lock": _lock_name(db.dialect)})


async def _lock(conn: AsyncConnection, dialect: str) -> None:
    if dialect == "postgresql":
        await conn.execute(text(f"SET statement_timeout = '{WAIT_SECONDS}s'"))
        await conn.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        return
    taken = await conn.scalar(
        text("SELECT GET_LOCK(:lock, :wait)"), {"lock": _lock_name(dialect), "wait": WAIT_SECONDS}
    )
    if taken != 1:
        raise TimeoutError(f"another process has been migrating for more than {WAIT_SECONDS} seconds")


def _lock_name(dialect: str) -> int | str:
    # MariaDB's named locks are of the whole server: the name holds what no other program would choose.
    return LOCK if dialect == "postgresql" else "push-portal-migrate"
