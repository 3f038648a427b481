"""When an account rests: its vendor asked for a pause, or it fails so often that asking again helps nobody.

A circuit breaker per account and process. An account that rests consumes no attempts: its deliveries go to the route's next
account or are deferred.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from uuid import UUID

from portal.sdk import Receipt, SendFailed

# The breaker opens when at least so many of the latest results are known and this share of them failed.
WINDOW = 40
ENOUGH = 20
SHARE = 0.75
FIRST_SECONDS, LAST_SECONDS = 2.0, 60.0


class _State:
    """One account: what became of its latest calls, until when it rests, how often in a row the breaker opened."""

    __slots__ = ("failed", "opened", "until")

    def __init__(self) -> None:
        self.failed: deque[bool] = deque(maxlen=WINDOW)
        self.until = 0.0
        self.opened = 0


class Rests:
    """The rests of all accounts in this process. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states: dict[UUID, _State] = {}

    def left(self, account_id: UUID) -> float:
        """Seconds for which nothing may be sent to this account; 0 when it may."""
        state = self._states.get(account_id)
        return 0.0 if state is None else max(0.0, state.until - self._clock())

    def probing(self, account_id: UUID) -> bool:
        """Whether the breaker was open and nothing has succeeded since: one call at a time, to see."""
        state = self._states.get(account_id)
        return state is not None and state.opened > 0

    def note(self, account_id: UUID, results: Iterable[Receipt | SendFailed | None]) -> None:
        """Learn from a slice's results (None: no call was made).

        A refusal for good counts as an answer: the vendor is well, the message is not.
        """
        state = self._states.setdefault(account_id, _State())
        now = self._clock()
        for result in results:
            if isinstance(result, Receipt) or (isinstance(result, SendFailed) and result.permanent):
                state.failed.append(False)
                state.opened = 0
            elif isinstance(result, SendFailed):
                state.failed.append(True)
                if result.retry_after:
                    state.until = max(state.until, now + result.retry_after)
        if self._should_open(state):
            wait = min(LAST_SECONDS, FIRST_SECONDS * 2**state.opened)
            state.until = max(state.until, now + wait)
            state.opened += 1
            state.failed.clear()

    @staticmethod
    def _should_open(state: _State) -> bool:
        if state.opened:
            # A probe that failed opens it again at once.
            return bool(state.failed) and all(state.failed)
        return len(state.failed) >= ENOUGH and sum(state.failed) >= SHARE * len(state.failed)
