"""A real installation for tests: its own folder, database and processes, which a test may stop, kill and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests import services

START_SECONDS = 30


class Installation:
    """The `portal` command against one set of settings. `processes` holds what runs, by the name it was started under."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """`settings` are names as in `portal.settings` (`database_url="…"`); what is not given is embedded."""
        self.folder = folder
        self.port = services.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        given = {"data_dir": str(folder / "data"), "host": "127.0.0.1", "port": str(self.port), **settings}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
        self.environment = inherited | {f"PORTAL_{name.upper()}": value for name, value in given.items()}

    def command(self, *words: str) -> str:
        """Run `portal …` to its end in another process; what it printed. Raises `CalledProcessError` when it failed."""
        done = subprocess.run(
            self._line(*words),
            env=self.environment,
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout.strip()

    def start(self, *words: str, name: str | None = None) -> subprocess.Popen[bytes]:
        """Start `portal …` in the background; its output is in `<name>.log` of the folder."""
        name = name or words[0]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self._line(*words),
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes[name] = process
        return process

    def _line(self, *words: str) -> list[str]:
        return [sys.executable, "-c", "from portal.cli import main; main()", *words]

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Return when `/ready` says so; raise with the logs when it does not in time or a process ended."""

        def ready() -> bool:
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            assert not ended, f"{ended} ended:\n{self.logs()}"
            try:
                with urllib.request.urlopen(f"{self.url}/ready", timeout=2) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, OSError):
                return False

        try:
            services.until(ready, "not ready", seconds)
        except services.Missing as late:
            raise AssertionError(f"{late}:\n{self.logs()}") from None

    def kill(self, name: str) -> None:
        """End a process as a crash would."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes.pop(name).wait()

    def stop(self, name: str, seconds: float = 15) -> int:
        """Ask a process to end and wait for it; its exit code."""
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(seconds)

    def close(self) -> None:
        """End whatever still runs."""
        for process in self.processes.values():
            services.end(process, 15)
        self.processes.clear()

    def logs(self) -> str:
        """The end of every log."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-4000:]}" for path in sorted(self.folder.glob("*.log")))
