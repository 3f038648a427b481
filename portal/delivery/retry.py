"""What follows a failed attempt: a pure decision."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from msgspec import Struct

from portal.sdk import SendFailed


class Retry(Struct, frozen=True):
    """Try again in `seconds`, on `account`."""

    seconds: float
    account: str


class Failover(Struct, frozen=True):
    """Try the next account now."""

    account: str


class Hold(Struct, frozen=True):
    """Nobody knows whether it was sent, and sending twice is worse: wait for a receipt."""


class Dead(Struct, frozen=True):
    """Given up, with a reason of `portal.ledger.statuses.REASONS`."""

    reason: str


class Policy(Struct, frozen=True):
    """How often and how fast: attempts in all, the first wait's ceiling and the highest one, in seconds."""

    max_attempts: int = 8
    base: float = 2.0
    cap: float = 3600.0


def next_step(
    failure: SendFailed,
    *,
    account: str,
    attempt: int,
    route: Sequence[str],
    refused: Sequence[str] = (),
    failed: Sequence[str] = (),
    may_repeat: bool = True,
    policy: Policy = Policy(),
    uniform: Callable[[float, float], float] = random.uniform,
) -> Retry | Failover | Hold | Dead:
    """Decide the next step of a delivery after a failure on `account`.

    `attempt` counts calls for this delivery, from 1. `route` are the accounts in order. `refused` refused it for good
    and are never asked again; `failed` failed in this round. `may_repeat` says whether a message that may have been
    accepted may be sent again (the vendor honours its idempotency key, or the category would rather send twice).

    A suppressing failure is final everywhere. A permanent one goes to the next account of the route. A transient one
    goes there too, and when every account failed in this round, the round begins anew after a wait: exponential with
    full jitter, never shorter than the vendor's own Retry-After. An ambiguous one stays with its account, because
    another vendor could not know that it is a repetition.
    """
    if failure.suppress:
        return Dead("suppressed")
    if failure.ambiguous and not may_repeat:
        return Hold()
    out = {*refused, account} if failure.permanent else set(refused)
    usable = [other for other in route if other not in out]
    if not usable:
        return Dead("permanent")
    if attempt >= policy.max_attempts:
        return Dead("exhausted")
    if not failure.ambiguous:
        untried = [other for other in usable if other != account and other not in failed]
        if untried:
            return Failover(untried[0])
    rounds = max(1, -(-attempt // max(1, len(route))))
    ceiling = min(policy.cap, policy.base * 2 ** (rounds - 1))
    wait = max(uniform(0, ceiling), failure.retry_after or 0.0)
    again = account if failure.ambiguous and account in usable else usable[0]
    return Retry(wait, again)
