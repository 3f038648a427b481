"""Fault 41: a template that loops or eats memory. It is killed in a known time; other renders do not notice."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portal.errors import TooMany
from portal.message_templates.build import BuildRequest, PartKind
from portal.message_templates.killable import WAITING_AT_MOST, Killable, Stopped
from portal.message_templates.language import Program
from portal.message_templates.render import Renderer

KINDS = {"text": PartKind()}
# Bounded only by its steps, which these tests take away: about a minute of work.
RUNAWAY = "{% for a in range(1000) %}{% for b in range(1000) %}{% set c = a * b %}{% endfor %}{% endfor %}" * 60
NO_LIMIT = 10**15

pytestmark = pytest.mark.alone


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    made = Renderer(children=2)
    yield made
    await made.close()


def children() -> list[int]:
    """Living child processes of this one that render."""
    found = []
    for entry in Path(f"/proc/{os.getpid()}/task").iterdir():
        for pid in (entry / "children").read_text().split():
            if "killable_child" in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(int(pid))
    return found


async def hello(renderer: Renderer) -> str:
    answer = await renderer.render_untrusted({"text": "Hello {{ name }}"}, KINDS, {"name": "Ada"})
    assert answer.problems == {}
    return answer.parts["text"]


async def test_a_runaway_template_is_killed_in_time_and_its_process_is_gone(renderer: Renderer) -> None:
    assert await hello(renderer) == "Hello Ada"
    before = children()
    started = time.monotonic()
    with pytest.raises(Stopped, match=r"stopped after 0\.5 s"):
        await renderer.render_untrusted({"text": RUNAWAY}, KINDS, {}, steps=NO_LIMIT, seconds=0.5)
    took = time.monotonic() - started
    assert 0.5 <= took < 1.5, f"killed after {took:.3f} s"
    assert not set(before) & set(children())
    assert await hello(renderer) == "Hello Ada"


async def test_other_renders_do_not_notice(renderer: Renderer) -> None:
    await asyncio.gather(hello(renderer), hello(renderer))
    runaway = asyncio.create_task(renderer.render_untrusted({"text": RUNAWAY}, KINDS, {}, steps=NO_LIMIT, seconds=1.0))
    program = Program("Your code is {{ code }}", "text")
    in_process: list[float] = []
    apart: list[float] = []
    while not runaway.done():
        started = time.perf_counter()
        program.render({"code": "1"})
        in_process.append(time.perf_counter() - started)
        started = time.perf_counter()
        assert await hello(renderer) == "Hello Ada"
        apart.append(time.perf_counter() - started)
    with pytest.raises(Stopped):
        await runaway
    assert len(apart) > 50
    assert sorted(in_process)[int(len(in_process) * 0.99)] < 0.005
    assert sorted(apart)[int(len(apart) * 0.99)] < 0.1


async def test_a_memory_bomb_ends_its_own_process_only(renderer: Renderer) -> None:
    data = {"rows": [[]] * 12_000_000}  # twelve million lists: more than the child may have
    with pytest.raises(Stopped, match="memory"):
        await renderer.render_untrusted({"text": "{{ rows|length }}"}, KINDS, data, seconds=20)
    assert await hello(renderer) == "Hello Ada"


async def test_a_child_that_was_killed_from_outside_is_replaced(renderer: Renderer) -> None:
    await hello(renderer)
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    assert await asyncio.gather(*(hello(renderer) for _ in range(4))) == ["Hello Ada"] * 4


async def test_whoever_gives_up_leaves_no_process_in_the_middle_of_its_work(renderer: Renderer) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.6):
            await renderer.render_untrusted({"text": RUNAWAY}, KINDS, {}, steps=NO_LIMIT, seconds=30)
    assert children() == []
    assert await hello(renderer) == "Hello Ada"


async def test_the_queue_for_children_is_bounded() -> None:
    killable = Killable(1)
    request = BuildRequest(parts={"sms": {"en": {"text": "Hi"}}}, kinds={"sms": KINDS})
    outcomes = await asyncio.gather(
        *(killable.build(request) for _ in range(WAITING_AT_MOST + 5)), return_exceptions=True
    )
    await killable.close()
    assert sum(isinstance(each, TooMany) for each in outcomes) == 5
    assert [each for each in outcomes if isinstance(each, BaseException) and not isinstance(each, TooMany)] == []


async def test_a_child_has_limits_no_secrets_and_ends_with_its_parent(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_SECRET_KEY", "not for children")
    await hello(renderer)
    (pid,) = children()
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PORTAL" not in environment
    limits = {line[:25].strip(): line[26:].split()[0] for line in Path(f"/proc/{pid}/limits").read_text().splitlines()}
    assert limits["Max address space"] == str(512 * 1024 * 1024)
    assert limits["Max file size"] == "0"
    assert int(limits["Max cpu time"]) < 60
