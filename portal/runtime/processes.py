"""Telling one process from another, and ending the right one.

A pid alone names nobody: it is given again. A pid with the time its process started is unique while the machine is up.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LINUX = platform.system() == "Linux"
_libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None


def start_time(pid: int) -> str | None:
    """When this process started, in the system's own form; None when there is no such process (or only its zombie)."""
    if _LINUX:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, UnicodeDecodeError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def is_alive(pid: int, started: str) -> bool:
    """True when the process with this pid is still the one that started then."""
    return start_time(pid) == started


def end(pid: int, started: str, *, seconds: float) -> bool:
    """End a process that is not our child, and its group: politely, and after `seconds` by force.

    Returns False when it was gone already. Nothing is sent to a pid that another process has meanwhile.
    """
    if not is_alive(pid, started):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while is_alive(pid, started) and time.monotonic() < deadline:
        time.sleep(0.02)
    if is_alive(pid, started):
        kill_group(pid)
    while is_alive(pid, started) and time.monotonic() < deadline + 2:
        time.sleep(0.02)
    return True


def kill_group(pid: int) -> None:
    """SIGKILL to the process group that `pid` leads; nothing when it has no members left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def dies_with_parent(signum: int = signal.SIGTERM) -> Callable[[], None] | None:
    """What a new child runs before its program, so that the kernel sends it `signum` when we end, however we end.

    Start the child from a thread that lives as long as the process: the signal goes out when that *thread* ends. None
    where the system has no such thing; the next start then ends what was left behind.
    """
    if _libc is None:
        return None
    parent, prctl = os.getpid(), _libc.prctl

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
        if os.getppid() != parent:  # we ended between fork and prctl
            os._exit(1)

    return arm
