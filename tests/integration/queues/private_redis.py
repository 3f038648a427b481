"""A Redis of one test's own, that it may fill, kill and start again."""

from __future__ import annotations

import resource
import signal
import subprocess
from pathlib import Path

import redis

from portal.runtime.valkey import server_binary
from tests.services import end, free_port, until


class PrivateRedis:
    """A server on a port of its own with an append-only file in `folder`."""

    def __init__(self, folder: Path, *options: str, file_bytes: int | None = None) -> None:
        """`file_bytes`: no file of the server may become larger, as on a full disk."""
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options, self._file_bytes = options, file_bytes
        self.process = self._start()

    def client(self) -> redis.Redis:
        """A plain, blocking client."""
        return redis.Redis(port=self.port, socket_timeout=5)

    def restart(self) -> None:
        """Start the server again after its end."""
        self.process.wait()
        self.process = self._start()

    def close(self) -> None:
        """End the server, also when it was stopped by SIGSTOP."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        end(self.process)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [str(server_binary()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction", *self._options]
        with (self.folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, preexec_fn=self._limit if self._file_bytes is not None else None
            )
        until(self._answers, f"the server did not start ({self.folder}/server.log)", 10)
        return process

    def _limit(self) -> None:
        assert self._file_bytes is not None
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._file_bytes, self._file_bytes))

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False
