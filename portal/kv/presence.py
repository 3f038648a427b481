"""Which processes of a kind live now, counted by Redis' clock."""

from __future__ import annotations

from typing import Any

from portal.kv.connection import Kv

ALIVE_MS = 4000

ANNOUNCE = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], ms, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""


class Presence:
    """This process among those of its kind ("web", "worker"); `count` is the last number known, at least 1."""

    def __init__(self, kv: Kv, kind: str) -> None:
        self._kv = kv
        self._key = f"portal:alive:{kind}"
        self._script: Any = kv.client.register_script(ANNOUNCE)
        self.count = 1

    async def announce(self) -> int:
        """Say that this process lives, for the next 4 s; returns how many do. Raises the client's errors."""
        self.count = max(1, int(await self._script(keys=[self._key], args=[self._kv.process, ALIVE_MS])))
        return self.count

    async def leave(self) -> None:
        """Say that this process ends. Raises the client's errors."""
        await self._kv.client.zrem(self._key, self._kv.process)
