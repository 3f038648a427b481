"""Remembers which plugins held up a process until its watchdog ended it; after the third time one is not loaded again.

A file in the data folder, one line per time, because it is written in the last moment of a process that cannot do more.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

LIMIT = 3
WITHIN = timedelta(days=1)
FILE = "blocked-plugins.log"
# A file that grew beyond reason is read from its end.
LONGEST = 1024 * 1024


def blame(data_path: Path, plugin: str) -> None:
    """Note that this plugin held up the process. Needs neither the event loop nor the database."""
    data_path.mkdir(parents=True, exist_ok=True)
    with (data_path / FILE).open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC).isoformat()} {plugin}\n")


def blamed(data_path: Path, *, now: datetime | None = None) -> Counter[str]:
    """How often each plugin held up a process on this machine within the last day."""
    try:
        lines = (data_path / FILE).read_bytes()[-LONGEST:].decode("utf-8", "replace").splitlines()
    except OSError:
        return Counter()
    since = (now or datetime.now(UTC)) - WITHIN
    return Counter(plugin for at, _, plugin in (line.partition(" ") for line in lines) if plugin and _after(at, since))


def forgive(data_path: Path, plugin: str) -> None:
    """Forget what is noted about this plugin; the next start loads it again."""
    path = data_path / FILE
    if path.exists():
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.partition(" ")[2] != plugin]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _after(text: str, since: datetime) -> bool:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return False
    return at.tzinfo is not None and at >= since
