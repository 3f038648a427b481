"""Children that die, hang, stop in order and end with their supervisor; the folder that one installation holds."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from portal.runtime import Runtime, find_running
from portal.runtime.processes import end, is_alive, start_time
from tests.services import until

ROOT = Path(__file__).parents[3]
WAIT = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
SAYS = """
import signal, sys, time
def stop(*_):
    print('stopped', flush=True)
    sys.exit(0)
signal.signal(15, stop)
print('listening', flush=True)
time.sleep(600)
"""


class Up:
    """The supervisor's process and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def says(self, *texts: str, seconds: float = 20) -> str:
        """Read on until each text was in some line, in whatever order; returns the last of those lines."""
        assert self.process.stderr is not None
        missing = list(texts)
        async with asyncio.timeout(seconds):
            while raw := await self.process.stderr.readline():
                self.lines.append(raw.decode().rstrip())
                if found := [text for text in missing if text in self.lines[-1]]:
                    missing.remove(found[0])
                if not missing:
                    return self.lines[-1]
        raise AssertionError(f"it ended without saying {missing}:\n" + "\n".join(self.lines))

    async def ended(self, seconds: float = 12) -> int:
        """Read to the end; the exit code."""
        assert self.process.stderr is not None
        async with asyncio.timeout(seconds):
            self.lines += (await self.process.stderr.read()).decode().splitlines()
            return await self.process.wait()


@asynccontextmanager
async def up(data_dir: Path, *children: str) -> AsyncIterator[Up]:
    """A running supervisor; killed at the end if it still runs, its children with it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.runtime.up_process", str(data_dir), *children),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        yield Up(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def running(data_dir: Path) -> Runtime:
    """What `runtime.json` says; the supervisor must live."""
    runtime = find_running(data_dir)
    assert runtime is not None
    return runtime


def gone(runtime: Runtime) -> Callable[[], bool]:
    """True when none of its children lives."""
    return lambda: not any(is_alive(child.pid, child.started) for child in runtime.children)


async def test_everything_starts_and_stops_in_order(tmp_path: Path) -> None:
    async with up(tmp_path, f"worker={SAYS}", f"web={SAYS}") as supervisor:
        await supervisor.says("listening", "listening", "ready")
        runtime = running(tmp_path)
        assert [child.name for child in runtime.children] == ["valkey", "worker", "web"]
        assert redis.Redis.from_url(runtime.redis_url).ping()
        assert (tmp_path / "runtime.json").stat().st_mode & 0o077 == 0
        began = time.monotonic()
        supervisor.process.send_signal(signal.SIGTERM)
        assert await supervisor.ended() == 0
        assert time.monotonic() - began < 10
    stops = [
        line.split("|")[0].strip() for line in supervisor.lines if line.endswith("stopped") or "ready to exit" in line
    ]
    assert stops == ["web", "worker", "valkey"]
    assert gone(runtime)()
    assert not Path(runtime.socket_dir).exists()
    assert find_running(tmp_path) is None


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    async with up(tmp_path, f"worker={WAIT}") as supervisor:
        await supervisor.says("ready")
        before = running(tmp_path)
        for child in before.children:
            os.kill(child.pid, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: _all_new(before, tmp_path), "the children did not come back", 10)
        assert "SIGKILL" in await supervisor.says("worker ended with")
        assert redis.Redis.from_url(running(tmp_path).redis_url).ping()


def _all_new(before: Runtime, data_dir: Path) -> bool:
    now = running(data_dir)
    old = {child.pid for child in before.children}
    fresh = [child for child in now.children if child.pid not in old]
    return len(fresh) == len(before.children) and Path(now.redis_url.removeprefix("unix://").partition("?")[0]).exists()


async def test_hints_survive_a_kill_of_the_server(tmp_path: Path) -> None:
    async with up(tmp_path, f"worker={WAIT}") as supervisor:
        await supervisor.says("ready")
        client = redis.Redis.from_url(running(tmp_path).redis_url)
        client.zadd("portal:lane:high", {"hint": 1})
        valkey = running(tmp_path).children[0]
        client.execute_command("WAITAOF", 1, 0, 3000)
        os.kill(valkey.pid, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: _answers(client), "the server did not come back", 10)
        assert client.zcard("portal:lane:high") == 1
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert int(client.config_get("maxmemory")["maxmemory"]) > 0


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


@pytest.mark.parametrize("damage", ["truncated", "garbage"])
async def test_a_damaged_file_is_mended_or_moved_aside_and_said(tmp_path: Path, damage: str) -> None:
    async with up(tmp_path, f"worker={WAIT}") as supervisor:
        await supervisor.says("ready")
        client = redis.Redis.from_url(running(tmp_path).redis_url)
        client.set("first", "1")
        client.set("second", "2")
        client.execute_command("WAITAOF", 1, 0, 3000)
        supervisor.process.send_signal(signal.SIGINT)
        assert await supervisor.ended() == 0
    file = next((tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof"))
    content = file.read_bytes()
    file.write_bytes(content[:-4] if damage == "truncated" else content.replace(b"*3", b"garbage", 1))
    async with up(tmp_path, f"worker={WAIT}") as supervisor:
        await supervisor.says("ready")
        client = redis.Redis.from_url(running(tmp_path).redis_url)
        assert client.get("first") == (b"1" if damage == "truncated" else None)
        assert client.get("second") is None
        said = "\n".join(supervisor.lines)
        assert "AOF" in said if damage == "truncated" else "starts empty" in said
        assert bool(list((tmp_path / "valkey").glob("*.unreadable-*"))) == (damage == "garbage")


async def test_a_data_folder_with_a_very_long_path_works(tmp_path: Path) -> None:
    data_dir = tmp_path / ("a" * 100) / ("b" * 100)
    assert len(str(data_dir)) > 200
    async with up(data_dir, f"worker={WAIT}") as supervisor:
        await supervisor.says("ready")
        runtime = running(data_dir)
        assert redis.Redis.from_url(runtime.redis_url).ping()
        assert Path(runtime.socket_dir).stat().st_mode & 0o777 == 0o700
        assert len(runtime.redis_url.removeprefix("unix://")) < 107


async def test_a_second_start_on_the_same_folder_says_so_and_exits_1(tmp_path: Path) -> None:
    async with up(tmp_path, f"novalkey={WAIT}") as first:
        await first.says("ready")
        async with up(tmp_path, f"novalkey={WAIT}") as second:
            assert await second.ended() == 1
            assert f"already runs on {tmp_path}" in second.lines[-1]
            assert f"process {first.process.pid}, http://127.0.0.1:8000" in second.lines[-1]
        assert first.process.returncode is None


async def test_after_kill_9_of_the_supervisor_nothing_is_left_and_it_starts_again(tmp_path: Path) -> None:
    async with up(tmp_path, f"worker={WAIT}", f"web={STUBBORN}") as supervisor:
        await supervisor.says("ready", "deaf")
        before = running(tmp_path)
        supervisor.process.kill()
        await supervisor.process.wait()
    assert find_running(tmp_path) is None
    async with up(tmp_path, f"worker={WAIT}") as supervisor:
        await supervisor.says("ready")
        # The deaf one ignored the kernel's signal when its parent died: it was ended by pid and start time.
        assert gone(before)()
        assert any("ended web" in line for line in supervisor.lines)
        assert not Path(before.socket_dir).exists()


async def test_children_end_with_their_supervisor(tmp_path: Path) -> None:
    async with up(tmp_path, f"worker={WAIT}") as supervisor:
        await supervisor.says("ready")
        before = running(tmp_path)
        supervisor.process.kill()
        await supervisor.process.wait()
        await asyncio.to_thread(until, gone(before), "children outlived their supervisor", 5)


async def test_a_deaf_child_is_killed_within_the_time(tmp_path: Path) -> None:
    async with up(tmp_path, f"novalkey={STUBBORN}") as supervisor:
        await supervisor.says("deaf")
        began = time.monotonic()
        supervisor.process.send_signal(signal.SIGINT)
        assert await supervisor.ended() == 0
        assert time.monotonic() - began < 5
        assert any("is killed" in line for line in supervisor.lines)


async def test_a_second_signal_stops_by_force(tmp_path: Path) -> None:
    async with up(tmp_path, f"novalkey={STUBBORN}") as supervisor:
        await supervisor.says("deaf")
        began = time.monotonic()
        supervisor.process.send_signal(signal.SIGINT)
        await supervisor.says("stopping")
        supervisor.process.send_signal(signal.SIGINT)
        assert await supervisor.ended() == 0
        assert time.monotonic() - began < 1.9


async def test_a_child_that_never_runs_is_named_and_ends_the_start(tmp_path: Path) -> None:
    async with up(tmp_path, "novalkey=print('port 8000 is taken'); raise SystemExit(4)") as supervisor:
        assert await supervisor.ended(30) == 1
        said = "\n".join(supervisor.lines)
        assert "novalkey | port 8000 is taken" in said
        assert "novalkey does not start: it ended 5 times, last with exit code 4" in said


def test_a_pid_that_was_given_again_is_not_ended() -> None:
    mine = start_time(os.getpid())
    assert mine is not None
    assert is_alive(os.getpid(), mine)
    assert end(os.getpid(), "another time", seconds=1) is False
    assert start_time(2**22 + 1) is None
