"""What follows a failed attempt: tables of cases, and properties that hold for all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.delivery.retry import Dead, Failover, Hold, Policy, Retry, next_step
from portal.sdk import SendFailed

TRANSIENT = SendFailed("503")
PERMANENT = SendFailed("400", permanent=True)
AMBIGUOUS = SendFailed("lost", ambiguous=True)
GONE = SendFailed("410", suppress=True)


def longest(_low: float, high: float) -> float:
    """The longest wait that the jitter may choose."""
    return high


@pytest.mark.parametrize(
    ("failure", "given", "expected"),
    [
        pytest.param(TRANSIENT, {}, Retry(2.0, "a"), id="the first wait has the base as its ceiling"),
        pytest.param(TRANSIENT, {"attempt": 3}, Retry(8.0, "a"), id="it doubles"),
        pytest.param(TRANSIENT, {"attempt": 7, "policy": Policy(cap=10.0)}, Retry(10.0, "a"), id="up to the cap"),
        pytest.param(TRANSIENT, {"attempt": 8}, Dead("exhausted"), id="the last attempt is the last"),
        pytest.param(TRANSIENT, {"route": ["a", "b"]}, Failover("b"), id="another account is tried at once"),
        pytest.param(
            TRANSIENT, {"route": ["a", "b"], "account": "b", "failed": ["a"], "attempt": 2}, Retry(2.0, "a"),
            id="after all of them a new round begins with the first",
        ),
        pytest.param(SendFailed("429", retry_after=30.0), {}, Retry(30.0, "a"), id="never earlier than asked"),
        pytest.param(SendFailed("429", retry_after=0.5), {}, Retry(2.0, "a"), id="asked for less than our own wait"),
        pytest.param(PERMANENT, {}, Dead("permanent"), id="refused by the only account"),
        pytest.param(PERMANENT, {"route": ["a", "b"]}, Failover("b"), id="refused by one of two"),
        pytest.param(
            PERMANENT, {"route": ["a", "b"], "account": "b", "refused": ["a"]}, Dead("permanent"), id="refused by both"
        ),
        pytest.param(
            TRANSIENT, {"route": ["a", "b"], "account": "b", "refused": ["a"], "attempt": 2}, Retry(2.0, "b"),
            id="who refused for good is not asked again",
        ),
        pytest.param(GONE, {"route": ["a", "b"]}, Dead("suppressed"), id="a dead address is dead everywhere"),
        pytest.param(AMBIGUOUS, {"route": ["a", "b"]}, Retry(2.0, "a"), id="in doubt only the same account can know"),
        pytest.param(AMBIGUOUS, {"may_repeat": False}, Hold(), id="in doubt and better not twice"),
        pytest.param(TRANSIENT, {"route": []}, Dead("permanent"), id="no account is left"),
        pytest.param(TRANSIENT, {"route": ["b"]}, Failover("b"), id="the route was changed meanwhile"),
    ],
)  # fmt: skip
def test_each_failure_has_its_next_step(failure: SendFailed, given: dict[str, Any], expected: object) -> None:
    arguments: dict[str, Any] = {"account": "a", "attempt": 1, "route": ["a"]} | given
    assert next_step(failure, uniform=longest, **arguments) == expected


failures = st.builds(
    SendFailed,
    st.just("no"),
    permanent=st.booleans(),
    suppress=st.booleans(),
    ambiguous=st.booleans(),
    retry_after=st.none() | st.floats(0, 3600),
)
names = st.sampled_from("abcde")
routes = st.lists(names, unique=True, max_size=5)


@given(failures, names, st.integers(1, 60), routes, st.sets(names), st.sets(names), st.booleans(), st.integers(1, 40))
def test_what_holds_for_every_failure(
    failure: SendFailed,
    account: str,
    attempt: int,
    route: list[str],
    refused: set[str],
    failed: set[str],
    may_repeat: bool,
    most: int,
) -> None:
    policy = Policy(max_attempts=most)
    step = next_step(
        failure,
        account=account,
        attempt=attempt,
        route=route,
        refused=sorted(refused),
        failed=sorted(failed),
        may_repeat=may_repeat,
        policy=policy,
    )
    if isinstance(step, (Retry, Failover)):
        assert step.account in route
        assert step.account not in refused
        assert attempt < most
        assert not (failure.permanent and step.account == account)
        assert not failure.suppress
    if isinstance(step, Retry):
        assert step.seconds >= (failure.retry_after or 0.0)
        assert step.seconds <= max(policy.cap, failure.retry_after or 0.0)
    if isinstance(step, Failover):
        assert step.account != account
        assert step.account not in failed
        assert not failure.ambiguous, "another account could not know that it is a repetition"
    if isinstance(step, Hold):
        assert failure.ambiguous
        assert not may_repeat
    if isinstance(step, Dead):
        left = set(route) - refused - ({account} if failure.permanent else set())
        assert failure.suppress or attempt >= most or not left


@given(routes.filter(bool), st.integers(1, 20))
def test_every_chain_of_failures_ends(route: list[str], most: int) -> None:
    account, failed, attempt = route[0], list[str](), 1
    for _ in range(most + 1):
        step = next_step(
            TRANSIENT, account=account, attempt=attempt, route=route, failed=failed, policy=Policy(max_attempts=most)
        )
        if isinstance(step, Dead):
            assert attempt == most
            return
        assert isinstance(step, (Retry, Failover))
        failed = [] if isinstance(step, Retry) else [*failed, account]
        account, attempt = step.account, attempt + 1
    raise AssertionError("it went on for ever")
