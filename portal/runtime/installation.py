"""One running installation per data folder: who holds it, and where other shells find its parts."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct, field

from portal.errors import Conflict
from portal.runtime.processes import end, is_alive, start_time

log = logging.getLogger("portal.runtime")

ORPHAN_SECONDS = 3.0


class Running(Struct, frozen=True):
    """A process, told from any later one with its pid."""

    name: str
    pid: int
    started: str

    @classmethod
    def of(cls, name: str, pid: int) -> Running:
        """The process that has this pid now."""
        return cls(name, pid, start_time(pid) or "")


class Runtime(Struct, frozen=True, kw_only=True):
    """What `runtime.json` says. Addresses may hold passwords: the file is readable by its owner only."""

    supervisor: Running
    address: str = ""
    database_url: str = ""
    redis_url: str = ""
    socket_dir: str = ""
    children: list[Running] = field(default_factory=list)


class Installation:
    """A data folder held by this process; made by `hold`."""

    def __init__(self, data_dir: Path, *, address: str = "", database_url: str = "", redis_url: str = "") -> None:
        self.data_dir = data_dir
        self._runtime = Runtime(
            supervisor=Running.of("supervisor", os.getpid()),
            address=address,
            database_url=database_url,
            redis_url=redis_url,
        )

    def publish(self, **changes: object) -> None:
        """Change fields of `runtime.json`, in one atomic step."""
        self._runtime = msgspec.structs.replace(self._runtime, **changes)
        path = _path(self.data_dir)
        draft = path.with_suffix(".tmp")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self._runtime)))
        draft.replace(path)


@contextlib.contextmanager
def hold(data_dir: Path, *, address: str = "", database_url: str = "", redis_url: str = "") -> Iterator[Installation]:
    """Hold the data folder while the block runs; raises `Conflict` when another process does.

    What a killed predecessor left running is ended first, by pid and start time.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "portal.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(_taken(data_dir), code="already_running") from None
        _clear_left_over(data_dir)
        installation = Installation(data_dir, address=address, database_url=database_url, redis_url=redis_url)
        installation.publish()
        try:
            yield installation
        finally:
            _path(data_dir).unlink(missing_ok=True)


def find_running(data_dir: Path) -> Runtime | None:
    """The installation that runs on this data folder now, if one does."""
    runtime = _read(data_dir)
    if runtime is None or not is_alive(runtime.supervisor.pid, runtime.supervisor.started):
        return None
    return runtime


def _path(data_dir: Path) -> Path:
    return data_dir / "runtime.json"


def _read(data_dir: Path) -> Runtime | None:
    try:
        return msgspec.json.decode(_path(data_dir).read_bytes(), type=Runtime)
    except (OSError, msgspec.DecodeError):
        return None


def _taken(data_dir: Path) -> str:
    runtime = _read(data_dir)
    who = f" (process {runtime.supervisor.pid}{', ' + runtime.address if runtime.address else ''})" if runtime else ""
    return f"Push Portal already runs on {data_dir}{who}. Stop it first, or set PORTAL_DATA_DIR to another folder."


def _clear_left_over(data_dir: Path) -> None:
    """End the children of a supervisor that was killed, and remove its socket folder."""
    runtime = _read(data_dir)
    if runtime is None:
        return
    for child in reversed(runtime.children):
        if end(child.pid, child.started, seconds=ORPHAN_SECONDS):
            log.warning("ended %s (pid %d), left over from an earlier start", child.name, child.pid)
    if runtime.socket_dir and Path(runtime.socket_dir).name.startswith("portal-"):
        shutil.rmtree(runtime.socket_dir, ignore_errors=True)
    _path(data_dir).unlink(missing_ok=True)
