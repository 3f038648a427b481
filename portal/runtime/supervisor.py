"""Keeps the child processes of `portal up` running and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from portal.errors import PortalError
from portal.runtime.installation import Running
from portal.runtime.processes import dies_with_parent, kill_group

log = logging.getLogger("portal.runtime")

BACKOFF_FIRST, BACKOFF_LAST = 0.2, 10.0
# A child that lived this long was well: its next end begins with the shortest wait again.
WELL_SECONDS = 10.0
# A child that ends so often before it was ever well will not get well by itself.
STILLBORN = 5
ASKED_SECONDS = 1.0
CANNOT_START = 127
OFTEN, OFTEN_SECONDS = 5, 60.0
READY_POLL_SECONDS = 0.03
STOP_SECONDS = 9.0
LINE_BYTES = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process to keep. Stages start in ascending order and stop in descending order; a stage stops together.

    `prepare` runs before each start; `ready` is asked until it answers True, and the next stage waits for that.
    A child that exits 0 asked to be started again, and is, at once.
    """

    name: str
    argv: Sequence[str]
    stage: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] | None = None
    ready: Callable[[], Awaitable[bool]] | None = None
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 4.0
    mute: tuple[str, ...] = ()  # lines of its output that hold one of these are not shown


class _Keeper:
    """One child's life: started, watched, started again."""

    def __init__(self, child: Child, changed: Callable[[], None]) -> None:
        self.child = child
        self.process: asyncio.subprocess.Process | None = None
        self.running: Running | None = None
        self.ready = asyncio.Event()
        self.hopeless = asyncio.Event()
        self._changed = changed
        self._stopping = False
        self._was_well = False
        self._failures = 0
        self._ends: deque[float] = deque(maxlen=OFTEN)

    async def keep(self) -> None:
        """Start the child again and again until `stop`, or until it is plain that it will never be well."""
        try:
            while not self._stopping:
                began = time.monotonic()
                code = await self._live()
                if not self._stopping:
                    await self._after(code, time.monotonic() - began)
        except Exception:
            log.critical("%s cannot be kept", self.child.name, exc_info=True)
            self.hopeless.set()

    async def _after(self, code: int, lived: float) -> None:
        """Wait before the next start: longer each time, unless the child was well or asked for it by exiting 0."""
        asked = code == 0 and lived >= ASKED_SECONDS
        self._was_well |= lived >= WELL_SECONDS
        self._failures = 0 if asked or lived >= WELL_SECONDS else self._failures + 1
        if not self._was_well and self._failures >= STILLBORN:
            log.critical("%s does not start: it ended %d times, last with %s", self.child.name, STILLBORN, _how(code))
            self.hopeless.set()
            self._stopping = True
            return
        most = 0.05 if asked else min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** max(0, self._failures - 1))
        wait = random.uniform(most / 2, most)
        log.warning("%s ended with %s after %.1f s; again in %.1f s", self.child.name, _how(code), lived, wait)
        self._warn_if_often(code)
        await asyncio.sleep(wait)

    async def _live(self) -> int:
        """One life of the child: returns its exit code, negative for the signal that ended it."""
        child = self.child
        try:
            if child.prepare is not None:
                child.prepare()
            self.process = process = await asyncio.create_subprocess_exec(
                *child.argv,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **child.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # A group of its own: Ctrl-C reaches only us, and what the child started ends with it.
                start_new_session=True,
                preexec_fn=dies_with_parent(),
            )
        except (OSError, PortalError) as error:
            log.error("%s cannot be started: %s", child.name, error)
            return CANNOT_START
        self.running = Running.of(child.name, process.pid)
        self._changed()
        reader = asyncio.create_task(self._show(process))
        until_ready = asyncio.create_task(self._until_ready())
        try:
            code = await process.wait()
            await asyncio.wait({reader}, timeout=0.5)
        finally:
            until_ready.cancel()
            reader.cancel()
        kill_group(process.pid)
        self.running = self.process = None
        self.ready.clear()
        self._changed()
        return code

    async def _until_ready(self) -> None:
        while True:
            if self.child.ready is None or await self.child.ready():
                break
            await asyncio.sleep(READY_POLL_SECONDS)
        self.ready.set()

    async def _show(self, process: asyncio.subprocess.Process) -> None:
        """Each line of the child's output, with its name in front, on our standard error."""
        assert process.stdout is not None
        rest = b""
        while data := await process.stdout.read(65536):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > LINE_BYTES:
                lines.append(rest)
                rest = b""
            self._print(lines)
        if rest:
            self._print([rest])

    def _print(self, lines: list[bytes]) -> None:
        shown = [line[:LINE_BYTES].decode(errors="replace").rstrip() for line in lines]
        shown = [line for line in shown if line and not any(word in line for word in self.child.mute)]
        with contextlib.suppress(OSError):
            sys.stderr.write("".join(f"{self.child.name:<8} | {line}\n" for line in shown))
            sys.stderr.flush()

    def _warn_if_often(self, code: int) -> None:
        now = time.monotonic()
        self._ends.append(now)
        if len(self._ends) == OFTEN and now - self._ends[0] <= OFTEN_SECONDS:
            seconds = now - self._ends[0]
            log.error("%s ended %d times in %.0f s, last with %s", self.child.name, OFTEN, seconds, _how(code))
            self._ends.clear()

    async def stop(self, keeping: asyncio.Task[None], seconds: float) -> None:
        """End the child: its signal first, SIGKILL to its group after `seconds`."""
        self._stopping = True
        if self.process is None:
            keeping.cancel()
            return
        pid = self.process.pid
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(self.child.stop_signal)
        done, _ = await asyncio.wait({keeping}, timeout=seconds)
        if not done:
            log.warning("%s has not ended after %.1f s and is killed", self.child.name, seconds)
            kill_group(pid)
            await asyncio.wait({keeping}, timeout=2)


class Supervisor:
    """Runs children until a signal, then stops them stage by stage within 9 s; a second signal kills them at once.

    `changed` gets the living children after each start and end, to be written where the next start can find them.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        on_ready: Callable[[], None] | None = None,
        changed: Callable[[list[Running]], None] | None = None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._on_ready = on_ready
        self._tell = changed
        self._stop_seconds = stop_seconds
        self._stopping = asyncio.Event()
        self._keepers = [_Keeper(child, self._changed) for child in sorted(children, key=lambda child: child.stage)]
        self._tasks: dict[_Keeper, asyncio.Task[None]] = {}

    async def run(self) -> int:
        """Start everything and watch it; returns the exit code: 0 after a stop, 1 when a child cannot be started."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, self.stop)
        failed = asyncio.create_task(self._one_is_hopeless())
        starting = asyncio.create_task(self._start())
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({failed, stopped}, return_when=asyncio.FIRST_COMPLETED)
            hopeless = failed.result() if failed.done() else None
            if hopeless is not None:
                log.critical("stopping, because %s does not run; what it said is above", hopeless.child.name)
            return 0 if hopeless is None else 1
        finally:
            self._stopping.set()
            for task in (failed, starting, stopped):
                task.cancel()
            await self._stop_all()

    def stop(self) -> None:
        """Begin to stop; called again, kill."""
        if self._stopping.is_set():
            log.warning("stopping by force")
            for keeper in self._keepers:
                if keeper.running is not None:
                    kill_group(keeper.running.pid)
        else:
            log.info("stopping")
        self._stopping.set()

    async def _start(self) -> None:
        for _, stage in groupby(self._keepers, key=lambda keeper: keeper.child.stage):
            keepers = list(stage)
            for keeper in keepers:
                self._tasks[keeper] = asyncio.create_task(keeper.keep(), name=f"keep-{keeper.child.name}")
            for keeper in keepers:
                await keeper.ready.wait()
        if self._on_ready is not None:
            self._on_ready()

    async def _one_is_hopeless(self) -> _Keeper:
        waits = {asyncio.create_task(keeper.hopeless.wait()): keeper for keeper in self._keepers}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[done.pop()]
        finally:
            for task in waits:
                task.cancel()

    async def _stop_all(self) -> None:
        deadline = time.monotonic() + self._stop_seconds
        for _, stage in groupby(reversed(self._keepers), key=lambda keeper: keeper.child.stage):
            left = max(0.2, deadline - time.monotonic())
            await asyncio.gather(
                *(
                    keeper.stop(self._tasks[keeper], min(left, keeper.child.stop_seconds))
                    for keeper in stage
                    if keeper in self._tasks
                )
            )

    def _changed(self) -> None:
        if self._tell is not None:
            self._tell([keeper.running for keeper in self._keepers if keeper.running is not None])


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
