"""Token buckets that all processes share, at the price of a local subtraction per request.

A bucket lives in Redis and fills by Redis' clock. A process takes tokens from it in grants, at most 50 ms' worth of the
bucket's rate, and serves requests from the grant; what it has not used after about 200 ms it gives back. Tokens leave
the bucket before they are spent, so N processes together never allow more than `rate * t + burst`, whoever dies.
After Redis loses its data a bucket starts full again. Without Redis each process has its share: the limit divided by
the number of processes last seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from typing import Any

from msgspec import Struct
from redis.exceptions import RedisError

from portal.kv.connection import Kv
from portal.kv.presence import Presence

log = logging.getLogger("portal.kv")

GRANT_SECONDS = 0.05
TICK_SECONDS = 0.1
ANNOUNCE_SECONDS = 1.0
FORGET_SECONDS = 60.0
ASKS_PER_CALL = 200
TRIES = 4

# For each key four arguments: rate (1/s), burst, tokens wanted, tokens given back. Answers, for each key, what was
# granted and what is left. Time never runs backwards for a bucket, whatever the server's clock does.
GRANT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answer = {}
for i, key in ipairs(KEYS) do
  local rate, burst = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local want, back = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local stored = redis.call('HMGET', key, 'left', 'at')
  local left, at = tonumber(stored[1]), tonumber(stored[2])
  if left == nil or at == nil then
    left, at = burst, now
  end
  local until_ = math.max(now, at)
  left = math.max(0, math.min(burst, left + back + (until_ - at) * rate / 1000000))
  local granted = math.min(want, math.floor(left))
  left = left - granted
  redis.call('HSET', key, 'left', string.format('%.6f', left), 'at', string.format('%.0f', until_))
  redis.call('PEXPIRE', key, math.ceil(1000 * (burst - left) / rate) + 1000)
  answer[2 * i - 1] = granted
  answer[2 * i] = string.format('%.6f', left)
end
return answer
"""


class Verdict(Struct, frozen=True, gc=False):
    """Whether a request may go on, and the figures of its RateLimit headers (tokens and seconds)."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: float
    retry_after: float


class _Purse:
    """What this process holds of one bucket."""

    __slots__ = (
        "asked_at", "at", "back", "block", "burst", "closed_until", "grant", "key", "left", "local", "low", "rate",
        "settled", "spent", "tick_grant", "ticks", "used_at", "waiting",
    )  # fmt: skip

    def __init__(self, key: str, rate: float, burst: int, now: float) -> None:
        self.key, self.rate, self.burst = key, rate, burst
        self.grant = 0  # tokens at hand
        self.low = -1  # reaching this asks for more ahead of need
        self.left = burst  # tokens in the shared bucket when last told
        self.spent = 0  # tokens used since the last ask
        self.block = 0  # how many to ask for beside those who wait
        self.asked_at = now
        self.closed_until = 0.0  # the bucket is known to be empty until then
        self.waiting = 0
        self.back = 0  # tokens to give back
        self.settled: asyncio.Future[None] | None = None
        self.tick_grant, self.ticks = -1, 0
        self.used_at = now
        self.local, self.at = math.nan, now  # the private bucket for times without Redis


class Limiter:
    """The buckets of one process. `start` in the event loop, `close` at the end."""

    def __init__(self, kv: Kv, *, kind: str = "web", processes: int = 1) -> None:
        """`processes` is how many share a limit while none has been counted yet."""
        self._kv = kv
        self._script: Any = kv.client.register_script(GRANT)
        self._presence = Presence(kv, kind)
        self._presence.count = max(1, processes)
        self._purses: dict[str, _Purse] = {}
        self._holding: dict[str, _Purse] = {}
        self._asks: dict[str, _Purse] = {}
        self._asker: asyncio.Task[None] | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._announced_at = -math.inf
        self._refused = False

    async def start(self) -> Limiter:
        """Announce this process and begin to keep the grants fresh."""
        await self._announce()
        self._ticker = asyncio.create_task(self._tick(), name="limiter")
        return self

    async def close(self) -> None:
        """Give unused tokens back and stop."""
        for task in (self._ticker, self._asker):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for purse in list(self._holding.values()):
            self._give_back(purse)
        if self._kv.up:
            await self._ask_for(list(self._asks.values()))
        self._asks.clear()
        if self._kv.up:
            with contextlib.suppress(RedisError, OSError):
                await self._presence.leave()
        self._ticker = self._asker = None

    @property
    def processes(self) -> int:
        """How many processes shared the limits when they were last counted."""
        return self._presence.count

    def take(self, key: str, rate: float, burst: int) -> Verdict | None:
        """Take one token of the bucket `key` that fills with `rate` tokens/s up to `burst`; never waits.

        None says that only Redis can tell, as for the first request of a key: then `await admit(...)`.
        """
        purse = self._purses.get(key)
        if purse is None or purse.grant <= 0:
            return self._without_grant(key, purse, rate, burst)
        purse.grant = grant = purse.grant - 1
        purse.spent += 1
        if grant == purse.low:
            self._ask(purse)
        remaining = grant + purse.left
        return Verdict(True, burst, remaining, (burst - remaining) / rate if remaining < burst else 0.0, 0.0)

    async def admit(self, key: str, rate: float, burst: int) -> Verdict:
        """`take`, and one round trip to Redis (bounded by 1 s, shared by all who wait) where it needs one."""
        verdict = self.take(key, rate, burst)
        tries = 0
        while verdict is None:
            tries += 1
            if tries > TRIES:
                return self._local(self._purse(key, rate, burst), time.monotonic())
            await self._settle(self._purse(key, rate, burst))
            verdict = self.take(key, rate, burst)
        return verdict

    # -- without a grant ----------------------------------------------------------------------------------------------

    def _without_grant(self, key: str, purse: _Purse | None, rate: float, burst: int) -> Verdict | None:
        now = time.monotonic()
        if not self._kv.up:
            return self._local(purse or self._purse(key, rate, burst), now)
        if purse is None or now >= purse.closed_until:
            return None
        purse.used_at = now
        wait = purse.closed_until - now
        return Verdict(False, burst, 0, wait + (burst - 1) / rate, wait)

    def _local(self, purse: _Purse, now: float) -> Verdict:
        """The verdict of this process alone: its share of rate and burst."""
        share = self._presence.count
        rate, most = purse.rate / share, max(1.0, purse.burst / share)
        if math.isnan(purse.local):
            purse.local = min(most, max(0.0, purse.left / share))
        else:
            purse.local = min(most, purse.local + (now - purse.at) * rate)
        purse.at = purse.used_at = now
        limit = max(1, int(most))
        if purse.local < 1:
            wait = (1 - purse.local) / rate
            return Verdict(False, limit, 0, (most - purse.local) / rate, wait)
        purse.local -= 1
        return Verdict(True, limit, int(purse.local), (most - purse.local) / rate, 0.0)

    def _purse(self, key: str, rate: float, burst: int) -> _Purse:
        purse = self._purses.get(key)
        if purse is None:
            purse = self._purses[key] = _Purse(key, rate, burst, time.monotonic())
        purse.rate, purse.burst = rate, burst
        return purse

    # -- asking Redis -------------------------------------------------------------------------------------------------

    async def _settle(self, purse: _Purse) -> None:
        """Wait for one answer about this purse."""
        purse.waiting += 1
        try:
            await asyncio.shield(self._ask(purse))
        finally:
            purse.waiting -= 1

    def _ask(self, purse: _Purse) -> asyncio.Future[None]:
        """Put the purse on the list of the next call; calls go one at a time and carry all that waits."""
        if purse.settled is None:
            purse.settled = asyncio.get_running_loop().create_future()
        self._asks[purse.key] = purse
        self._go_ask()
        return purse.settled

    def _go_ask(self) -> None:
        if self._asks and (self._asker is None or self._asker.done()):
            self._asker = asyncio.create_task(self._keep_asking(), name="limiter-ask")

    async def _keep_asking(self) -> None:
        while self._asks:
            purses = [self._asks.pop(key) for key in list(self._asks)[:ASKS_PER_CALL]]
            await self._ask_for(purses)

    async def _ask_for(self, purses: list[_Purse]) -> None:
        if not purses:
            return
        now = time.monotonic()
        args: list[float | int] = []
        wants: list[int] = []
        settled = [purse.settled for purse in purses]
        for purse in purses:
            purse.settled = None
            wants.append(self._want(purse, now))
            args += [purse.rate, purse.burst, wants[-1], purse.back]
            purse.back = 0
        try:
            answer = await self._script(keys=[f"portal:bucket:{purse.key}" for purse in purses], args=args)
        except (RedisError, OSError, TimeoutError) as error:
            if self._kv.note(error) == "error" and not self._refused:
                self._refused = True
                log.error(
                    "limiter: Redis refuses the bucket script, each process limits alone: %s", type(error).__name__
                )
        else:
            now = time.monotonic()
            for i, purse in enumerate(purses):
                self._credit(purse, wants[i], int(answer[2 * i]), float(answer[2 * i + 1]), now)
        finally:
            for future in settled:
                if future is not None and not future.done():
                    future.set_result(None)

    def _want(self, purse: _Purse, now: float) -> int:
        """Those who wait, and 50 ms' worth of the demand since the last ask, at most 50 ms' worth of the rate."""
        if purse.back:
            return 0
        passed = max(now - purse.asked_at, 0.001)
        demand = purse.spent / passed * GRANT_SECONDS
        purse.block = int(min(demand, purse.rate * GRANT_SECONDS))
        purse.asked_at, purse.spent = now, 0
        return purse.waiting + purse.block

    def _credit(self, purse: _Purse, wanted: int, granted: int, left: float, now: float) -> None:
        purse.grant += granted
        purse.left = int(left)
        purse.local = math.nan
        purse.used_at = now
        if granted < wanted:
            purse.closed_until = now + max(0.0, 1 - left) / purse.rate
        # Only a purse that empties within a few calls asks ahead; the others ask when somebody comes.
        purse.low = purse.grant // 2 if purse.block > 2 else -1
        if purse.grant:
            purse.tick_grant, purse.ticks = purse.grant, 0
            self._holding[purse.key] = purse

    # -- in the background --------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._collect_unused()
            self._go_ask()
            now = time.monotonic()
            if now - self._announced_at >= ANNOUNCE_SECONDS:
                await self._announce()
                self._forget(now)

    def _collect_unused(self) -> None:
        """A grant that two ticks have not touched goes back."""
        for key, purse in list(self._holding.items()):
            if purse.grant <= 0:
                del self._holding[key]
            elif purse.grant != purse.tick_grant:
                purse.tick_grant, purse.ticks = purse.grant, 0
            elif (ticks := purse.ticks + 1) < 2:
                purse.ticks = ticks
            else:
                self._give_back(purse)

    def _give_back(self, purse: _Purse) -> None:
        purse.back += purse.grant
        purse.grant, purse.low = 0, -1
        del self._holding[purse.key]
        self._asks[purse.key] = purse

    def _forget(self, now: float) -> None:
        for key, purse in list(self._purses.items()):
            if not purse.grant and not purse.waiting and now - purse.used_at > FORGET_SECONDS:
                del self._purses[key]

    async def _announce(self) -> None:
        self._announced_at = time.monotonic()
        if not self._kv.up:
            return
        try:
            await self._presence.announce()
        except (RedisError, OSError, TimeoutError) as error:
            self._kv.note(error)
