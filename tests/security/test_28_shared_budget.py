"""Row 28: a limit is one limit, however many processes serve it."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[2]


async def spender(url: str, key: str, rate: float, burst: int, seconds: float) -> asyncio.subprocess.Process:
    """A process that is ready to spend."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.kv.spender",
        *(url, key, str(rate), str(burst), str(seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize(("rate", "burst"), [(200.0, 50), (2000.0, 100), (5.0, 2)])
async def test_four_processes_share_one_budget(redis_url: str, rate: float, burst: int) -> None:
    key = uuid4().hex
    spenders = await asyncio.gather(*(spender(redis_url, key, rate, burst, 2.0) for _ in range(4)))
    began = time.monotonic()
    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in spenders))
    seconds = time.monotonic() - began
    allowed = [int(out.split()[0]) for out, _ in answers]
    assert sum(allowed) <= rate * seconds + burst
    # And nobody is refused what is there: waiting for tokens costs no more than a little of the rate.
    assert sum(allowed) >= 0.7 * (rate * 2.0 + burst)
