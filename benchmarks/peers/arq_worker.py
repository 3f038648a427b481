"""The working side on plain arq: one job per notification, which marks its row as sent."""

from __future__ import annotations

import os
from typing import Any

import asyncpg
from arq.connections import RedisSettings


async def deliver(ctx: dict[str, Any], notification_id: str) -> None:
    await ctx["pool"].execute("UPDATE peer_notification SET status = 'sent' WHERE id = $1", notification_id)


async def startup(ctx: dict[str, Any]) -> None:
    ctx["pool"] = await asyncpg.create_pool(os.environ["PORTAL_DATABASE_URL"], min_size=8, max_size=8)


class WorkerSettings:
    functions = [deliver]
    on_startup = startup
    redis_settings = RedisSettings.from_dsn(os.environ["PORTAL_REDIS_URL"])
    max_jobs = 100
    poll_delay = 0.01
    keep_result = 0
