"""Which migration a database is at and which one this code needs, without importing Alembic (half a second)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from portal.db.engine import Database
from portal.errors import SettingsError

_PACKAGE = Path(__file__).resolve().parents[1]
# Inside the package when it was installed from a wheel, beside it in a clone.
MIGRATIONS = found if (found := _PACKAGE / "_migrations").is_dir() else _PACKAGE.parent / "migrations"
POLL_SECONDS = 0.05
_REVISION = re.compile(r"^(down_)?revision\b[^=]*= *(?:\"([0-9a-f]+)\"|None)", re.MULTILINE)


def newest() -> str:
    """The head of the migrations; a structural test holds that there is one."""
    made: set[str] = set()
    built_on: set[str] = set()
    for file in (MIGRATIONS / "versions").glob("*.py"):
        for down, revision in _REVISION.findall(file.read_text()):
            (built_on if down else made).add(revision)
    (head,) = made - built_on
    return head


async def at(db: Database) -> str | None:
    """The migration that the database is at; None for an empty one."""
    try:
        async with db.read() as conn:
            return (await conn.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    except DBAPIError:
        return None


async def until_migrated(db: Database, seconds: float) -> None:
    """Return when the database is at this code's migration, or after `seconds`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until and await at(db) != newest():  # noqa: ASYNC110 - another process migrates
        await asyncio.sleep(POLL_SECONDS)


async def require_migrated(db: Database) -> None:
    """Return when the database is at this code's migration; raise `SettingsError` otherwise."""
    found, needed = await at(db), newest()
    if found != needed:
        raise SettingsError(
            f"The database is at migration {found or 'none'}, this version needs {needed}: run `portal migrate`."
        )
