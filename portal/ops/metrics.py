"""Metrics in the Prometheus text format, read from the database: one answer for all processes of the installation."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db import Database
from portal.kv import Kv
from portal.ledger.counts import Balance, balance
from portal.ledger.models import LedgerCount
from portal.notifications.accept import Acceptor
from portal.ops.queries import LaneState, lanes

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def metrics(db: Database, kv: Kv, acceptor: Acceptor) -> bytes:
    """Everything worth an alarm: lane depth and age, the balance, inversions, the waiting room, Redis."""
    async with db.read() as conn:
        states = await lanes(conn)
        counted = await _counted(conn)
        books = await balance(conn)
    registry = CollectorRegistry()
    registry.register(_Answer([*_lane_metrics(states), *_count_metrics(counted), *_balance_metrics(books)]))
    registry.register(_Answer([*_process_metrics(kv, acceptor)]))
    return generate_latest(registry)


class _Answer:
    """A collector that has been collected already."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        return self._found


async def _counted(conn: AsyncConnection) -> dict[tuple[str, str], int]:
    """Notifications by lane and event, since the beginning."""
    statement = select(LedgerCount.lane, LedgerCount.event, func.sum(LedgerCount.n)).group_by(
        LedgerCount.lane, LedgerCount.event
    )
    return {(lane, event): int(n) for lane, event, n in await conn.execute(statement)}


def _lane_metrics(states: list[LaneState]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "portal_lane_waiting", "Notifications that are due and wait for a worker.", labels=["lane"]
    )
    oldest = GaugeMetricFamily("portal_lane_oldest_seconds", "Age of the one that is due longest.", labels=["lane"])
    in_work = GaugeMetricFamily("portal_lane_in_work", "Notifications in a worker's hands.", labels=["lane"])
    for state in states:
        waiting.add_metric([state.lane], state.waiting)
        in_work.add_metric([state.lane], state.in_work)
        oldest.add_metric([state.lane], state.oldest_seconds or 0.0)
    yield from (waiting, oldest, in_work)


def _count_metrics(counted: dict[tuple[str, str], int]) -> Iterator[Metric]:
    ended = CounterMetricFamily("portal_notifications", "Notifications by lane and event.", labels=["lane", "event"])
    inversions = CounterMetricFamily(
        "portal_inversions", "Claims of lower work while higher work had been due for more than 50 ms.", labels=["lane"]
    )
    for (lane, event), n in sorted(counted.items()):
        if event == "inversion":
            inversions.add_metric([lane], n)
        else:
            ended.add_metric([lane, event], n)
    yield from (ended, inversions)


def _balance_metrics(books: Balance) -> Iterator[Metric]:
    yield GaugeMetricFamily("portal_in_flight", "Accepted notifications that have not ended.", value=books.in_flight)
    yield GaugeMetricFamily(
        "portal_balance_difference",
        "Accepted less ended less in flight: not 0 for 60 s is an alarm.",
        value=books.difference,
    )


def _process_metrics(kv: Kv, acceptor: Acceptor) -> Iterator[Metric]:
    yield GaugeMetricFamily("portal_redis_up", "1 while Redis accepts writes.", value=int(kv.up))
    yield GaugeMetricFamily(
        "portal_accept_waiting", "Requests of this process that wait for a flush.", value=acceptor.waiting
    )
    yield CounterMetricFamily(
        "portal_accepted_by_process", "Notifications this process accepted.", value=acceptor.accepted
    )
