"""What the start page tells: the lanes, the balance, and what needs somebody's attention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from portal.delivery.stops import StopEntry
from portal.ledger.counts import Balance
from portal.notifications.queries import steady_balance
from portal.ops.health import readiness
from portal.ops.queries import AccountHealth, LaneState, Minute, account_health, lanes, traffic
from portal.parts import Parts
from portal.providers import Accounts

# From these shares of failed attempts on an account is pointed out; fewer attempts than this say nothing.
WARN_SHARE, ALARM_SHARE, FEWEST_ATTEMPTS = 0.1, 0.5, 5
# Seconds that the oldest due notification of a lane may wait before somebody should look.
PATIENCE = {"high": 10.0, "medium": 60.0, "low": 900.0}


class Finding(Struct, frozen=True, kw_only=True):
    """Something to look at: `tone` is warning or danger, `path` leads to where it can be mended."""

    tone: str
    title: str
    text: str
    path: str = ""


class PressedStop(Struct, frozen=True, kw_only=True):
    """A pressed stop button with a name for what it stops."""

    kind: str
    key: str
    name: str
    reason: str
    stopped_by: str
    stopped_at: datetime


class Overview(Struct, frozen=True, kw_only=True):
    """Everything that the start page shows and refreshes."""

    at: datetime
    lanes: list[LaneState]
    balance: Balance
    minutes: list[Minute]
    findings: list[Finding]
    stops: list[PressedStop]


async def overview(parts: Parts, applications: dict[UUID, str]) -> Overview:
    """The state of this moment; `applications` are names by id."""
    state = await readiness(parts.db, parts.kv, parts.revisions, parts.registry)
    now = datetime.now(UTC)
    async with parts.db.read() as conn:
        states, minutes, health = await lanes(conn), await traffic(conn, now), await account_health(conn)
    counted = await steady_balance(parts.db)
    stops = [_named(stop, parts.accounts, applications) for stop in parts.stops.entries]
    findings = [
        *_balance_findings(counted),
        *(Finding(tone="warning", title=f"{part} is degraded", text=text) for part, text in state.degraded.items()),
        *_lane_findings(states, stops),
        *_account_findings(parts.accounts, health),
    ]
    return Overview(at=now, lanes=states, balance=counted, minutes=minutes, findings=findings, stops=stops)


def banners(parts: Parts) -> list[str]:
    """A sentence per pressed stop button, from memory: every page shows them."""
    return [f"{_stopped(stop, parts.accounts)} is stopped: {stop.reason}" for stop in parts.stops.entries]


def _stopped(stop: StopEntry, accounts: Accounts) -> str:
    if stop.kind == "everything":
        return "Everything"
    if stop.kind == "lane":
        return f"The {stop.key} lane"
    if stop.kind == "template":
        return f"The template {stop.key}"
    if stop.kind == "account" and accounts.has(UUID(stop.key)):
        return f"The provider account {accounts.get(UUID(stop.key)).title}"
    return f"An {stop.kind}"


def _balance_findings(counted: Balance) -> list[Finding]:
    if not counted.difference:
        return []
    text = (
        f"Accepted, ended and in flight differ by {counted.difference:,}. Work that is just being counted may show here "
        "for a moment; if it stays for a minute, compare with `portal doctor`."
    )
    return [Finding(tone="danger", title="The balance is off", text=text)]


def _lane_findings(states: Sequence[LaneState], stops: Sequence[PressedStop]) -> list[Finding]:
    stopped = {stop.key for stop in stops if stop.kind == "lane"}
    if any(stop.kind == "everything" for stop in stops):
        return []
    found = []
    for state in states:
        late = state.oldest_seconds is not None and state.oldest_seconds > PATIENCE[state.lane]
        if late and state.lane not in stopped:
            text = "Is a worker running? A stopped application, template or account also keeps its work waiting."
            found.append(Finding(tone="warning", title=f"The {state.lane} lane waits", text=text))
    return found


def _account_findings(accounts: Accounts, health: Sequence[AccountHealth]) -> list[Finding]:
    found = [
        Finding(tone="danger", title=f"{each.title} cannot be used", text=each.problem, path=f"/providers/{each.id}")
        for each in accounts.all()
        if each.enabled and each.problem
    ]
    for each in health:
        share = each.failed / each.attempts
        if share < WARN_SHARE or each.attempts < FEWEST_ATTEMPTS or not accounts.has(each.account_id):
            continue
        account = accounts.get(each.account_id)
        text = f"{each.failed:,} of its last {each.attempts:,} attempts failed, within the hour."
        tone = "danger" if share >= ALARM_SHARE else "warning"
        found.append(
            Finding(tone=tone, title=f"{account.title} is failing", text=text, path=f"/providers/{account.id}")
        )
    return found


def _named(stop: StopEntry, accounts: Accounts, applications: dict[UUID, str]) -> PressedStop:
    name = f"{stop.kind.capitalize()}: {stop.key}"
    if stop.kind == "everything":
        name = "Everything"
    elif stop.kind == "account" and accounts.has(UUID(stop.key)):
        name = f"Provider account: {accounts.get(UUID(stop.key)).title}"
    elif stop.kind == "application" and UUID(stop.key) in applications:
        name = f"Application: {applications[UUID(stop.key)]}"
    return PressedStop(
        kind=stop.kind,
        key=stop.key,
        name=name,
        reason=stop.reason,
        stopped_by=stop.stopped_by,
        stopped_at=stop.stopped_at,
    )
