"""Write a migration from the difference between the migrations and the models: `make migration NAME="what it does"`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import Connection

from portal.db import Database
from portal.db.migrate import configuration, upgrade


def main(name: str) -> None:
    """Migrate an empty SQLite file to the head, compare it with the models, and write what is missing."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_write(f"sqlite:///{Path(folder) / 'empty.db'}", name))


async def _write(url: str, name: str) -> None:
    await upgrade(url)
    db = Database(url)
    async with db.write() as conn:
        await conn.run_sync(_compare, name)
    await db.close()


def _compare(connection: Connection, name: str) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    script = command.revision(config, message=name, autogenerate=True)
    if script is None or isinstance(script, list):
        print("The models say nothing new.", file=sys.stderr)
        return
    subprocess.run([sys.executable, "-m", "ruff", "check", "--fix", "-q", script.path], check=False)
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", script.path], check=True)
    print(f"Wrote {script.path}; read it before you commit it.", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
