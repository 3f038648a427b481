"""The provider sandbox."""

import asyncio
import time
from collections import Counter

import msgspec
import pytest

from plugins.sandbox.provider import Sandbox, SandboxSettings
from portal.sdk import Receipt, SendFailed
from portal.sdk.testing import ContextForTests, ProviderContract, sample_message

MESSAGE = sample_message(channel="email", address="ann@example.com", parts={"subject": "Hello", "text": "Hi"})
MANY = [msgspec.structs.replace(MESSAGE, id=f"d{n}") for n in range(1000)]


class TestSandbox(ProviderContract):
    provider = Sandbox
    settings = {"latency_ms": 0}
    message = MESSAGE
    wrong_settings = [{"failure_rate": 1.5}, {"latency_ms": -1}, {"jitter": 2}]


async def send_all(**settings: float) -> tuple[list[Receipt | SendFailed], ContextForTests]:
    context = ContextForTests()
    return await Sandbox(SandboxSettings(**settings)).send_many(MANY, context), context


async def test_it_keeps_what_would_have_been_sent() -> None:
    results, context = await send_all()
    assert [result.vendor_id for result in results if isinstance(result, Receipt)] == [message.id for message in MANY]
    assert context.kept == MANY


async def test_it_keeps_nothing_when_told_so() -> None:
    context = ContextForTests()
    await Sandbox(SandboxSettings(keep=False)).send_many(MANY, context)
    assert context.kept == []


def kind_of(result: Receipt | SendFailed) -> str:
    if isinstance(result, Receipt):
        return "accepted"
    if result.retry_after is not None:
        return "throttled"
    return "ambiguous" if result.ambiguous else "permanent" if result.permanent else "failed"


async def test_it_misbehaves_as_often_as_it_is_told_to() -> None:
    results, context = await send_all(failure_rate=0.2, permanent_rate=0.2, throttle_rate=0.2, ambiguous_rate=0.2)
    counts = Counter(kind_of(result) for result in results)
    assert set(counts) == {"accepted", "failed", "permanent", "throttled", "ambiguous"}
    # One in five of 1,000 each; six standard deviations are 76.
    assert all(abs(count - 200) < 90 for count in counts.values())
    assert len(context.kept) == counts["accepted"] + counts["ambiguous"]


@pytest.mark.parametrize(
    ("rate", "kind"),
    [
        ("failure_rate", "failed"),
        ("permanent_rate", "permanent"),
        ("throttle_rate", "throttled"),
        ("ambiguous_rate", "ambiguous"),
    ],
)
async def test_a_rate_of_one_is_always(rate: str, kind: str) -> None:
    results, _ = await send_all(**{rate: 1})
    assert {kind_of(result) for result in results} == {kind}
    with pytest.raises(SendFailed):
        await Sandbox(SandboxSettings(**{rate: 1})).send(MESSAGE, ContextForTests())


async def test_latency_passes_once_per_call() -> None:
    started = time.monotonic()
    await asyncio.gather(*(send_all(latency_ms=50, jitter=0.1) for _ in range(5)))
    assert 0.04 < time.monotonic() - started < 2
