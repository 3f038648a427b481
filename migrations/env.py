"""How Alembic meets our tables: `portal.db.migrate` hands over the connection and holds the lock."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

import portal.models
from portal.db import Base, Blob, Id, Json, UtcDateTime, db_now
from portal.db.migrate import upgrade
from portal.settings import load

assert portal.models  # its import declares every table

OUR_TYPES = (Id, UtcDateTime, Json, Blob)


def _render(kind: str, item: Any, autogenerate: AutogenContext) -> str | Literal[False]:
    """Our types and the database's clock as a migration writes them: by name, so that each database makes its own."""
    name = None
    if kind == "type" and isinstance(item, OUR_TYPES):
        name = type(item).__name__
    elif kind == "server_default" and isinstance(getattr(item, "arg", None), db_now):
        name = "db_now"
    if name is None:
        return False
    autogenerate.imports.add(f"from portal.db import {name}")
    return f"{name}()"


def _unless_empty(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Write no file when the models say nothing new."""
    if directives and directives[0].upgrade_ops.is_empty():
        directives.clear()


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_item=_render,
        process_revision_directives=_unless_empty,
        # SQLite cannot alter a column: the table is copied.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    _migrate(handed_over)
else:
    asyncio.run(upgrade(load().database))
