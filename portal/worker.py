"""One worker process: takes hints from the lanes, delivers, sweeps, seals the audit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial

from portal.audit import seal_pending
from portal.delivery.deliver import Deliverer
from portal.delivery.plan import Planner
from portal.delivery.retry import Policy
from portal.delivery.send import Sender
from portal.delivery.sweep import Sweeper
from portal.identity.jobs import tidy
from portal.parts import Parts, open_parts
from portal.plugin_loader import blame
from portal.queues import run_lanes
from portal.runtime.memory import settle_heap
from portal.runtime.watchdog import Watchdog
from portal.settings import Settings

TURNS_SECONDS = 0.5
END_SECONDS = 2.0
SEAL_SECONDS = 1.0
TIDY_SECONDS = 3600.0

log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then drain."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_parts(settings) as parts:
        watchdog = Watchdog(
            limit_seconds=settings.watchdog_seconds,
            report=settings.data_path / f"watchdog-{os.getpid()}.txt",
            culprit=partial(blame, settings.data_path),
            plugin_of=parts.registry.plugin_at,
        ).start()
        settle_heap()
        try:
            await work(parts, stop)
        finally:
            watchdog.stop()


async def work(parts: Parts, stop: asyncio.Event) -> None:
    """Deliver with these parts until `stop` is set and what is in hand is settled or handed back."""
    settings = parts.settings
    deliverer = make_deliverer(parts)
    sweeper = Sweeper(
        parts.db,
        parts.bell,
        owner=deliverer.owner,
        idempotency_hours=settings.idempotency_hours,
        unknown_hours=settings.unknown_hours,
    )
    background = [
        asyncio.create_task(_begin_drain(deliverer, stop), name="drain"),
        asyncio.create_task(sweeper.run(stop), name="sweeper"),
        asyncio.create_task(_every(TURNS_SECONDS, deliverer.refresh_turns, stop), name="turns"),
        asyncio.create_task(
            _every(SEAL_SECONDS, lambda: seal_pending(parts.db, parts.keyring), stop), name="audit-sealer"
        ),
        asyncio.create_task(_every(TIDY_SECONDS, lambda: tidy(parts.db), stop), name="tidy"),
    ]
    log.info("worker %s is ready", deliverer.owner)
    try:
        await run_lanes(
            parts.kv,
            deliverer.handle,
            deliverer.due,
            stop=stop,
            slots=settings.worker_slots,
            reserve=settings.high_reserve,
            drain_seconds=settings.drain_seconds,
        )
    finally:
        stop.set()
        await deliverer.drain(settings.drain_seconds)
        # They end between two steps: cancelled in the middle of one, a connection could be lost.
        _, late = await asyncio.wait(background, timeout=END_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


async def _begin_drain(deliverer: Deliverer, stop: asyncio.Event) -> None:
    """From the first moment of a stop on nothing new is sent, so that the drain ends in time."""
    await stop.wait()
    deliverer.begin_drain()


def make_deliverer(parts: Parts) -> Deliverer:
    """The deliverer of a process with these parts."""
    settings = parts.settings
    policy = Policy(
        max_attempts=settings.max_attempts, base=settings.retry_base_seconds, cap=settings.retry_cap_seconds
    )
    sender = Sender(parts.db, parts.bell, parts.accounts, parts.categories, parts.stops, policy)
    planner = Planner(parts.templates, parts.renderer, parts.accounts, parts.trials)
    return Deliverer(parts.db, planner, sender, lease_seconds=settings.lease_seconds)


async def _every(seconds: float, do: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Repeat until `stop`; a failure is logged by its type and tried again."""
    while not stop.is_set():
        try:
            await do()
        except Exception as error:
            log.warning("%s failed: %s", getattr(do, "__qualname__", "periodic work"), type(error).__name__)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
