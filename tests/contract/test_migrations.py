"""Migrations have one head, and from nothing to that head they make exactly the tables of the models, on every database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from portal.db import Base, Database

pytest.importorskip("portal.models", reason="portal.models is not written yet")
migrate = pytest.importorskip("portal.db.migrate", reason="portal.db.migrate is not written yet")

ROOT = Path(__file__).parents[2]


def _scripts() -> ScriptDirectory:
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "migrations"))
    return ScriptDirectory.from_config(config)


def test_there_is_one_head() -> None:
    assert len(_scripts().get_heads()) == 1, "who lands second moves its migration onto the other"


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
