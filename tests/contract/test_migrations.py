"""Migrations have one head, and from nothing to that head they make exactly the tables of the models, on every database."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

import portal.models
from portal.db import Base, Database, migrate, version

assert portal.models.metadata is Base.metadata  # its import declared every table


def test_there_is_one_head() -> None:
    heads = ScriptDirectory.from_config(migrate.configuration()).get_heads()
    assert len(heads) == 1, "who lands second moves its migration onto the other"
    assert heads[0] == version.newest(), "processes look for this one at their start"


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
    return list(compare_metadata(context, Base.metadata))


async def test_from_empty_to_the_head_equals_the_models(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url)
    db = Database(empty_database_url)
    try:
        async with db.engine.connect() as conn:
            assert await conn.run_sync(_differences) == []
            names = await conn.run_sync(lambda sync: inspect(sync).get_table_names())
            assert set(names) == {*Base.metadata.tables, "alembic_version"}
    finally:
        await db.close()


async def test_two_processes_may_migrate_at_once(empty_database_url: str) -> None:
    program = "import asyncio, sys; from portal.db.migrate import upgrade; asyncio.run(upgrade(sys.argv[1]))"
    command = (sys.executable, "-c", program, empty_database_url)
    both = [await asyncio.create_subprocess_exec(*command) for _ in range(2)]
    assert [await process.wait() for process in both] == [0, 0]
    db = Database(empty_database_url)
    try:
        assert await version.at(db) == version.newest()
    finally:
        await db.close()


async def test_a_database_at_the_head_is_left_as_it_is(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url)
    await migrate.upgrade(empty_database_url)
    db = Database(empty_database_url)
    try:
        assert await version.at(db) == version.newest()
    finally:
        await db.close()
