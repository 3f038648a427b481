"""Fixtures over the real peers of `tests.services`.

`db` and `database_url` run a test once per kind of database, each time with empty tables. A peer that cannot be had
skips the test with the reason, and fails it when `CI=true`: a green run there means that everything ran. Event loops and
engines live for one test; only servers and schemas live longer.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import redis
from sqlalchemy import MetaData, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from portal.db import Base, Database
from portal.settings import Settings
from tests import services
from tests.services import KINDS, Missing

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from tests.installation import Installation
    from tests.smtp_peer import SmtpPeer

T = TypeVar("T")
TEST_SECRET_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()


def have(peer: Callable[[], T]) -> T:
    """What `peer()` returns; where it cannot be had the test is skipped, in continuous integration it fails."""
    try:
        return peer()
    except Missing as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true and there is {reason}", pytrace=False)
        pytest.skip(str(reason))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests of the database once per kind; `@pytest.mark.databases("sqlite")` names the kinds of one test."""
    if "database_kind" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("databases")
    wanted = marker.args if marker else KINDS
    narrowed = os.environ.get("PORTAL_TEST_DATABASES")
    kinds = [kind for kind in wanted if not narrowed or kind in narrowed.split(",")]
    metafunc.parametrize("database_kind", kinds, indirect=True)


@pytest.fixture
def database_kind(request: pytest.FixtureRequest) -> str:
    """`sqlite`, `postgresql` or `mariadb`."""
    return str(request.param)


class _Schemas:
    """The empty schema of each kind, made once per process; a private loop keeps one connection to each server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.metadata = _all_tables()
        self.engines: dict[str, AsyncEngine] = {}
        self.connections: dict[str, AsyncConnection] = {}

    def url(self, kind: str, tmp_path: Path) -> str:
        """The address of a database of this kind with every table, all empty."""
        if kind == "sqlite":
            return self._sqlite_copy(tmp_path)
        url = services.database(kind, "main")
        if kind not in self.connections:
            self.loop.run_until_complete(self._open(kind, url))
        self.loop.run_until_complete(self._empty(kind))
        return url

    def _sqlite_copy(self, tmp_path: Path) -> str:
        pattern = self.folder / "pattern.db"
        if not pattern.exists():
            self.loop.run_until_complete(self._create(f"sqlite:///{pattern}"))
        copy = tmp_path / "portal.db"
        shutil.copyfile(pattern, copy)
        return f"sqlite:///{copy}"

    async def _create(self, url: str) -> None:
        db = Database(url)
        async with db.write() as conn:
            await conn.run_sync(self.metadata.create_all)
        await db.close()

    async def _open(self, kind: str, url: str) -> None:
        await self._create(url)
        driver = {"postgresql": "postgresql+asyncpg", "mariadb": "mariadb+asyncmy"}[kind]
        self.engines[kind] = create_async_engine(make_url(url).set(drivername=driver), isolation_level="AUTOCOMMIT")
        self.connections[kind] = await self.engines[kind].connect()
        patience = {"postgresql": "SET lock_timeout = '10s'", "mariadb": "SET SESSION innodb_lock_wait_timeout = 10"}
        await self.connections[kind].execute(text(patience[kind]))

    async def _empty(self, kind: str) -> None:
        """Delete what the last test left: one question finds the tables that hold anything."""
        connection = self.connections[kind]
        names = [table.name for table in self.metadata.sorted_tables]
        if not names:
            return
        quote = connection.dialect.identifier_preparer.quote
        asks = [f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {quote(name)})" for name in names]
        used = {row[0] for row in await connection.execute(text(" UNION ALL ".join(asks)))}
        for name in reversed(names):
            if name in used:
                await connection.execute(text(f"DELETE FROM {quote(name)}"))

    def close(self) -> None:
        """End the connections before the databases are dropped."""
        for kind, connection in self.connections.items():
            self.loop.run_until_complete(connection.close())
            self.loop.run_until_complete(self.engines[kind].dispose())
        self.loop.close()


def _all_tables() -> MetaData:
    """Every table that the features declare."""
    try:
        importlib.import_module("portal.models")
    except ModuleNotFoundError as error:
        if error.name != "portal.models":
            raise
        for models in sorted(Path("portal").glob("*/models.py")):
            importlib.import_module(f"portal.{models.parent.name}.models")
    return Base.metadata


@pytest.fixture(scope="session")
def _schemas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Schemas]:
    schemas = _Schemas(tmp_path_factory.mktemp("schemas"))
    yield schemas
    schemas.close()


@pytest.fixture
def database_url(database_kind: str, _schemas: _Schemas, tmp_path: Path) -> str:
    """The address of a database with every table, all empty, as `PORTAL_DATABASE_URL` takes it."""
    return have(lambda: _schemas.url(database_kind, tmp_path))


@pytest.fixture
def empty_database_url(database_kind: str, tmp_path: Path) -> str:
    """The address of a database without any table: for migrations."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    server = have({"postgresql": services._postgresql, "mariadb": services._mariadb}[database_kind])
    return have(lambda: services.fresh_database(server, "empty"))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A `Database` with every table, all empty."""
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def redis_url() -> str:
    """An empty Redis or Valkey of this test."""
    url = have(services.redis_address)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of this test: its database and Redis where it asks for them, else SQLite and no Redis."""
    values: dict[str, Any] = {"data_dir": str(tmp_path / "data"), "secret_key": TEST_SECRET_KEY}
    for name in ("database_url", "redis_url"):
        if name in request.fixturenames:
            values[name] = request.getfixturevalue(name)
    return Settings(**values)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A portal that really runs, web and worker, on SQLite without Redis; shared, so a test looks for its own things."""
    from tests.installation import Installation

    installation = Installation(tmp_path_factory.mktemp("running"), secret_key=TEST_SECRET_KEY)
    installation.command("migrate")
    installation.start("serve")
    installation.start("worker")
    installation.wait_until_ready()
    yield installation
    installation.close()


@pytest.fixture(scope="session")
def _smtp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpPeer]:
    from tests.smtp_peer import start_smtp

    peer, doors = start_smtp(tmp_path_factory.mktemp("smtp"))
    yield peer
    for door in doors:
        door.stop()


@pytest.fixture
def smtp_server(_smtp: SmtpPeer) -> SmtpPeer:
    """An SMTP server with a plain, a STARTTLS and a TLS port; see `tests.smtp_peer`."""
    _smtp.clear()
    return _smtp


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium of this test."""
    from playwright.async_api import async_playwright

    path = have(services.chromium)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=path, args=services.CHROMIUM_ARGUMENTS)
        yield launched
        await launched.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that fails its test when the browser reports an error or a breach of the content security policy."""
    opened = await browser.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield opened
    await opened.close()
    # A 4xx answer that a test provokes is logged by the browser as an error; it is not one of the page.
    assert not [text for text in complaints if "Failed to load resource" not in text]
