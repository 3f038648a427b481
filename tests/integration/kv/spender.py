"""A process that spends from one bucket as fast as it can: `python -m … REDIS_URL KEY RATE BURST SECONDS`.

Prints `ready`, waits for a line, spends, and prints what was allowed and what was refused.
"""

from __future__ import annotations

import asyncio
import sys
import time

from portal.kv import Kv, Limiter


async def main(url: str, key: str, rate: float, burst: int, seconds: float) -> None:
    """Spend for so long."""
    async with Kv(url) as kv:
        limiter = await Limiter(kv).start()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        allowed = refused = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            verdict = await limiter.admit(key, rate, burst)
            allowed += verdict.allowed
            refused += not verdict.allowed
            await asyncio.sleep(0)
        await limiter.close()
        print(allowed, refused, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
