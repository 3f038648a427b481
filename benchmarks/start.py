"""Figure 5: from `portal up` on an empty folder to the first page."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from typing import Any

from benchmarks.stage import ROOT, portal

PORT = 18403


def measure(*, rounds: int) -> dict[str, Any]:
    """Median seconds over `rounds` starts, embedded defaults, without the demo."""
    return {"seconds": statistics.median(_one() for _ in range(rounds)), "rounds": rounds}


def _one() -> float:
    with tempfile.TemporaryDirectory() as folder:
        ours = {"PORTAL_DATA_DIR": folder, "PORTAL_PORT": str(PORT), "DEMO": "0"}
        env = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")} | ours
        started = time.perf_counter()
        child = subprocess.Popen(
            portal("up"),
            env=env,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not _page():
                if time.perf_counter() - started > 60:
                    raise TimeoutError("no page within a minute")
                time.sleep(0.02)
            return time.perf_counter() - started
        finally:
            child.terminate()
            child.wait(20)


def _page() -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/sign-in", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
