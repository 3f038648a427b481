"""Ends a process whose event loop does not move, and says which plugin it was stuck in.

Ending is safe: what the process had leased comes back by itself, and the supervisor starts it again. Two lines of
defence: a thread that needs the interpreter, and, for code that never gives the interpreter's lock back (one long call
into C), the interpreter's own timer, which needs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO

from portal.runtime.processes import start_time

log = logging.getLogger("portal.runtime")

EXIT_CODE = 70
TICK_SECONDS = 0.2
BEAT_SECONDS = 0.1
# The timer of the second line fires this much later than the first.
HARD_FACTOR = 1.5
REARM_SECONDS = 1.0
FRAMES = 40
_DUMPED = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>\S+)')

Culprit = Callable[[str], None]
PluginOf = Callable[[str, str], str | None]


def plugin_module(module: str, filename: str) -> str | None:
    """The module's name when it belongs to a plugin, by name or by its place under a `plugins` folder."""
    if module.startswith("plugins."):
        return ".".join(module.split(".")[:2])
    found = re.search(r"[/\\]plugins[/\\]([A-Za-z0-9_\-]+)[/\\.]", filename)
    return f"plugins.{found[1]}" if found and "site-packages" not in filename else None


class Watchdog:
    """Watches the loop it is started in.

    `limit_seconds`: how long the loop may stand still. `culprit(module)` is called in the watchdog's thread, before the
    process ends, with the innermost plugin module on the loop's stack; it must be quick and must not need the loop.
    `report`: a file of this process, named with its pid, for the second line of defence; what dead processes left in
    files of the same name with other pids is read, and told to `culprit`, at `start`. `plugin_of(module, filename)` says which plugin a frame belongs to.
    """

    def __init__(
        self,
        *,
        limit_seconds: float = 10.0,
        culprit: Culprit | None = None,
        report: Path | None = None,
        plugin_of: PluginOf = plugin_module,
    ) -> None:
        self.limit = limit_seconds
        self.lag = 0.0  # seconds the loop was late at its last beat
        self.max_lag = 0.0
        self._culprit, self._plugin_of = culprit, plugin_of
        self._report_path = report
        self._report: IO[str] | None = None
        self._beats = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._beat_task: asyncio.Task[None] | None = None

    def start(self) -> Watchdog:
        """Begin; call it inside the running loop."""
        self._read_report()
        self._loop_thread = threading.get_ident()
        self._beat_task = asyncio.get_running_loop().create_task(self._beat(), name="watchdog-beat")
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End watching; a loop that stands still afterwards is nobody's business."""
        self._stop.set()
        if self._beat_task is not None:
            self._beat_task.cancel()
        if self._thread is not None:
            self._thread.join(timeout=2)
        faulthandler.cancel_dump_traceback_later()
        if self._report is not None and self._report_path is not None:
            self._report.close()
            self._report_path.unlink(missing_ok=True)
            self._report = None

    async def _beat(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)
            self.lag = max(0.0, time.monotonic() - before - BEAT_SECONDS)
            self.max_lag = max(self.max_lag, self.lag)
            self._beats += 1

    def _watch(self) -> None:
        seen, still, last, armed = -1, 0.0, time.monotonic(), 0.0
        while not self._stop.wait(TICK_SECONDS):
            now = time.monotonic()
            # A process that was stopped as a whole (SIGSTOP, a sleeping machine) wakes up here as well as in the loop:
            # only time in which this thread ran counts.
            still += min(now - last, 2 * TICK_SECONDS)
            last = now
            if self._beats != seen:
                seen, still = self._beats, 0.0
                if now - armed >= REARM_SECONDS:
                    armed = now
                    self._arm()
            elif still >= self.limit:
                self._end(still)

    def _arm(self) -> None:
        """Set the interpreter's own timer anew; it dumps file, line and function of all threads and exits."""
        target = self._report if self._report is not None else sys.stderr
        with contextlib.suppress(OSError, ValueError, AttributeError, RuntimeError):
            faulthandler.dump_traceback_later(self.limit * HARD_FACTOR + REARM_SECONDS, exit=True, file=target)

    def _end(self, still: float) -> None:
        frames = _frames(sys._current_frames().get(self._loop_thread))
        places = " < ".join(f"{module}:{line} {function}" for module, _, line, function in frames)
        log.critical("the event loop stood still for %.1f s and the process ends; it was in %s", still, places)
        module = next(filter(None, (self._plugin_of(module, file) for module, file, _, _ in frames)), None)
        self._name(module)
        for handler in logging.getLogger().handlers:
            with contextlib.suppress(Exception):
                handler.flush()
        os._exit(EXIT_CODE)

    def _name(self, module: str | None) -> None:
        if module is None:
            return
        log.critical("the plugin %s blocked the event loop", module)
        if self._culprit is not None:
            try:
                self._culprit(module)
            except Exception as error:
                log.error("the culprit could not be recorded: %s", type(error).__name__)

    def _read_report(self) -> None:
        """Name what dead processes were stuck in, and open the file for our own last words."""
        if self._report_path is None:
            return
        try:
            self._report_path.parent.mkdir(parents=True, exist_ok=True)
            for path in _left_by_the_dead(self._report_path):
                text = path.read_text(errors="replace")
                path.unlink()
                self._name_stuck(text)
            self._report = self._report_path.open("w")
        except OSError as error:
            log.warning("the watchdog's report cannot be used: %s", error)

    def _name_stuck(self, text: str) -> None:
        if "Timeout" not in text:
            return
        frames = [(found["file"], found["line"], found["function"]) for found in _DUMPED.finditer(text)]
        places = " < ".join(f"{file}:{line} {function}" for file, line, function in frames[:12])
        log.critical("an earlier process stood still, without ever giving the interpreter back, in %s", places)
        self._name(next(filter(None, (self._plugin_of("", file) for file, _, _ in frames)), None))


def _left_by_the_dead(own: Path) -> list[Path]:
    """Reports like `own` whose process is gone; one without a pid in its name belongs to whoever comes next."""
    found = re.search(r"\d+", own.name)
    if found is None:
        return [own] if own.exists() else []
    pattern = re.compile(re.escape(own.name[: found.start()]) + r"(\d+)" + re.escape(own.name[found.end() :]))
    named = ((path, pattern.fullmatch(path.name)) for path in own.parent.iterdir())
    return [path for path, match in named if match and (path == own or start_time(int(match[1])) is None)]


def _frames(frame: FrameType | None) -> list[tuple[str, str, int, str]]:
    """Module, file, line and function, from the innermost outwards; no values."""
    frames: list[tuple[str, str, int, str]] = []
    while frame is not None and len(frames) < FRAMES:
        code = frame.f_code
        frames.append((str(frame.f_globals.get("__name__", "?")), code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return frames
