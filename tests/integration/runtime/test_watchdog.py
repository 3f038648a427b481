"""A plugin that blocks the event loop costs its process, and is named."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from portal.runtime import Watchdog
from portal.runtime.watchdog import EXIT_CODE, plugin_module

ROOT = Path(__file__).parents[3]
PLUGIN = """
import re, time
def sleep():
    secret = "CANARY"
    time.sleep(60)
def regex():
    re.match(r"(a+)+$", "a" * 60 + "b")  # holds the interpreter's lock for years
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the plugin `stuck`."""
    package = tmp_path / "plugins" / "stuck"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package.parent / "__init__.py").touch()
    (package / "provider.py").write_text(PLUGIN)
    return tmp_path


async def blocked(folder: Path, how: str) -> tuple[int, str]:
    """Run the process; its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.runtime.blocked_process", str(folder), how),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_blocking_plugin_is_named_and_the_process_ends(folder: Path) -> None:
    code, said = await blocked(folder, "sleep")
    assert code == EXIT_CODE
    assert (folder / "culprit").read_text() == "plugins.stuck"
    assert "plugins.stuck.provider:5 sleep" in said
    assert "the plugin plugins.stuck blocked the event loop" in said
    assert "CANARY" not in said


async def test_a_call_that_never_gives_the_interpreter_back_ends_the_process_and_the_next_names_it(
    folder: Path,
) -> None:
    code, _ = await blocked(folder, "regex")
    assert code != 0
    assert not (folder / "culprit").exists()
    code, said = await blocked(folder, "look")
    assert code == 0
    assert (folder / "culprit").read_text() == "plugins.stuck"
    assert "an earlier process stood still" in said


async def test_lag_is_measured_and_a_loop_that_moves_is_left_alone() -> None:
    named: list[str] = []
    watchdog = Watchdog(limit_seconds=0.5, culprit=named.append).start()
    try:
        async with asyncio.timeout(10):
            while watchdog.max_lag < 0.05:
                sum(range(3_000_000))
                await asyncio.sleep(0.01)
    finally:
        watchdog.stop()
    assert named == []


@pytest.mark.parametrize(
    ("module", "filename", "plugin"),
    [
        ("plugins.smtp.provider", "/opt/portal/plugins/smtp/provider.py", "plugins.smtp"),
        ("acme", "/srv/data/plugins/acme/provider.py", "plugins.acme"),
        ("portal.delivery.send", "/opt/portal/portal/delivery/send.py", None),
        ("asyncio.runners", "/usr/lib/python3.11/asyncio/runners.py", None),
        ("litestar.plugins.jinja", "/opt/venv/lib/python3.11/site-packages/litestar/plugins/jinja.py", None),
    ],
)
def test_a_frame_belongs_to_a_plugin_by_its_name_or_its_folder(module: str, filename: str, plugin: str | None) -> None:
    assert plugin_module(module, filename) == plugin
