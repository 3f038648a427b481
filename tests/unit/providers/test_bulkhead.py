"""The bulkhead: a share for high, no starving, no lost slots."""

from __future__ import annotations

import asyncio
import random

import pytest

from portal.providers.bulkhead import Bulkhead


@pytest.mark.parametrize(("size", "rest"), [(1, 1), (2, 1), (5, 4), (20, 16), (100, 80)])
async def test_high_keeps_a_share(size: int, rest: int) -> None:
    bulkhead = Bulkhead(size)
    taken = sum([await bulkhead.acquire("low", 0) for _ in range(size)])
    assert taken == rest
    assert sum([await bulkhead.acquire("high", 0) for _ in range(size)]) == size - rest
    assert not bulkhead.free("high")


async def test_a_slot_that_does_not_come_in_time_is_refused() -> None:
    bulkhead = Bulkhead(1)
    assert await bulkhead.acquire("high")
    started = asyncio.get_running_loop().time()
    assert not await bulkhead.acquire("high")
    assert 0.04 < asyncio.get_running_loop().time() - started < 0.4
    assert not await bulkhead.acquire("low", 0)
    bulkhead.release()
    assert bulkhead.in_use == 0


async def test_high_goes_first_and_the_rest_in_order() -> None:
    bulkhead, order = Bulkhead(1), []

    async def call(name: str, lane: str) -> None:
        assert await bulkhead.acquire(lane, 5)
        order.append(name)
        bulkhead.release()

    assert await bulkhead.acquire("low", 0)
    waiting = []
    for name, lane in (
        ("low 1", "low"),
        ("medium", "medium"),
        ("high 1", "high"),
        ("low 2", "low"),
        ("high 2", "high"),
    ):
        waiting.append(asyncio.create_task(call(name, lane)))
        await asyncio.sleep(0)
    bulkhead.release()
    await asyncio.gather(*waiting)
    assert order == ["high 1", "high 2", "low 1", "medium", "low 2"]


async def test_slots_are_neither_lost_nor_made_whatever_is_cancelled() -> None:
    bulkhead, dice = Bulkhead(7), random.Random(49)
    most = 0

    async def call() -> None:
        nonlocal most
        if await bulkhead.acquire(dice.choice(["high", "low"]), dice.choice([0, 0.001, 0.01, 1])):
            most = max(most, bulkhead.in_use)
            try:
                await asyncio.sleep(dice.choice([0, 0.001, 0.002]))
            finally:
                bulkhead.release()

    tasks = [asyncio.create_task(call()) for _ in range(600)]
    for task in dice.sample(tasks, 200):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most <= 7
    assert bulkhead.in_use == 0
    assert sum([await bulkhead.acquire("high", 0) for _ in range(9)]) == 7


async def test_it_says_when_nothing_runs_any_more() -> None:
    bulkhead = Bulkhead(3)
    await bulkhead.idle()
    assert await bulkhead.acquire("low")
    assert await bulkhead.acquire("high")
    waiting = asyncio.create_task(bulkhead.idle())
    bulkhead.release()
    await asyncio.sleep(0)
    assert not waiting.done()
    bulkhead.release()
    await asyncio.wait_for(waiting, 1)
