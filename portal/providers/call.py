"""One call of a provider: timed, with every outcome turned into a receipt or a failure. Never raises for a plugin.

The call runs in a task of its own: a plugin that ignores its cancellation is left behind instead of holding the chunk,
and a cancellation, an exit or a nonsense result that comes from the plugin is that plugin's failure and nobody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from portal.providers.accounts import OpenAccount
from portal.providers.classify import classify, tidy
from portal.sdk import Message, Receipt, SendFailed

LONGEST_ID = 200
LONGEST_DETAIL = 500

_left_behind: set[asyncio.Task[Any]] = set()


async def send_one(account: OpenAccount, message: Message, seconds: float | None = None) -> Receipt | SendFailed:
    """Hand one message to the account's provider, within `seconds` (at most the account's own deadline)."""
    outcome = await run(account, lambda: account.provider.send(message, account.ctx), seconds)
    return _result(account, outcome)


async def send_many(
    account: OpenAccount, messages: Sequence[Message], seconds: float | None = None
) -> list[Receipt | SendFailed]:
    """Hand at most `account.batch` messages over in one vendor call; results in the same order."""
    if len(messages) == 1 or account.problem is not None or account.batch == 1:
        return [await send_one(account, message, seconds) for message in messages]
    outcome = await run(account, lambda: account.provider.send_many(messages, account.ctx), seconds)
    if isinstance(outcome, SendFailed):
        return [outcome] * len(messages)
    if not isinstance(outcome, (list, tuple)) or len(outcome) != len(messages):
        return [_nonsense(account, outcome)] * len(messages)
    return [_result(account, item) for item in outcome]


async def run(account: OpenAccount, work: Callable[[], Awaitable[Any]], seconds: float | None = None) -> Any:
    """What `work` of an opened account returns, or a SendFailed for whatever it raised or when it took too long."""
    limit = account.timeout_seconds if seconds is None else min(seconds, account.timeout_seconds)
    begun: list[bool] = []
    task = asyncio.create_task(_attempt(account, work, begun))
    try:
        done, _ = await asyncio.wait({task}, timeout=limit)
    except asyncio.CancelledError:
        _leave(task)
        raise
    if not done:
        _leave(task)
        return SendFailed(f"No answer within {limit:g} seconds.", ambiguous=bool(begun), code="timeout")
    outcome = task.result()
    return _failure(account, outcome, bool(begun)) if isinstance(outcome, BaseException) else outcome


async def _attempt(account: OpenAccount, work: Callable[[], Awaitable[Any]], begun: list[bool]) -> Any:
    """The result, or the error as a value: a task that ends with SystemExit would end the whole process."""
    try:
        await account.ready()
        begun.append(True)
        return await work()
    except GeneratorExit:
        raise
    except BaseException as error:
        return error


def _leave(task: asyncio.Task[Any]) -> None:
    _left_behind.add(task)
    task.add_done_callback(_left_behind.discard)
    task.cancel()


def _failure(account: OpenAccount, error: BaseException, begun: bool) -> SendFailed:
    failure = classify(error)
    if failure.code == "plugin":
        account.ctx.log.error("the provider raised an error of its own", kind=type(error).__name__)
    # Before the provider's own method ran, nothing can have left.
    failure.ambiguous = failure.ambiguous and begun
    return failure


def _result(account: OpenAccount, item: Any) -> Receipt | SendFailed:
    if type(item) is Receipt:
        vendor_id: Any = item.vendor_id
        if (vendor_id is None or (type(vendor_id) is str and len(vendor_id) <= LONGEST_ID)) and item.detail is None:
            return item
        return Receipt(_text(vendor_id, LONGEST_ID), _text(item.detail, LONGEST_DETAIL))
    return tidy(item) if isinstance(item, SendFailed) else _nonsense(account, item)


def _text(value: Any, longest: int) -> str | None:
    return None if value is None else str(value)[:longest]


def _nonsense(account: OpenAccount, outcome: Any) -> SendFailed:
    # It came back without a failure, so the vendor may well have the message.
    account.ctx.log.error("the provider returned nonsense", kind=type(outcome).__name__)
    return SendFailed("The plugin returned something else than a receipt.", ambiguous=True, code="plugin")
