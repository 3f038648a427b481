"""The accepting side of both peers: validate, commit one row, enqueue one job, answer 202."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

PEER = os.environ["PEER"]
KEY = "Bearer " + os.environ["PEER_KEY"]
TABLE = """CREATE TABLE IF NOT EXISTS peer_notification (id uuid PRIMARY KEY, template text, channel text, address text,
           data text, priority text, reference text, status text, created_at timestamptz DEFAULT now())"""
INSERT = "INSERT INTO peer_notification VALUES ($1, $2, $3, $4, $5, $6, $7, 'accepted', now())"

pool: asyncpg.Pool[Any]
enqueue: Any


class To(BaseModel):
    model_config = ConfigDict(extra="forbid")
    channel: str
    address: str


class Notification(BaseModel):
    model_config = ConfigDict(extra="forbid")
    template: str
    to: To
    data: dict[str, Any]
    priority: str = "medium"
    reference: str | None = None


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    global pool, enqueue
    pool = await asyncpg.create_pool(os.environ["PORTAL_DATABASE_URL"], min_size=8, max_size=8)
    await pool.execute(TABLE)
    if PEER == "celery":
        from benchmarks.peers.celery_worker import deliver

        async def enqueue(notification_id: str) -> None:
            await run_in_threadpool(deliver.delay, notification_id)

    else:
        from arq import create_pool
        from arq.connections import RedisSettings

        redis = await create_pool(RedisSettings.from_dsn(os.environ["PORTAL_REDIS_URL"]))

        async def enqueue(notification_id: str) -> None:
            await redis.enqueue_job("deliver", notification_id)

    yield
    await pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/", status_code=202)
async def accept(given: Notification, authorization: Annotated[str, Header()]) -> dict[str, str]:
    if authorization != KEY:
        raise HTTPException(401)
    id_ = uuid.uuid4()
    row = (given.template, given.to.channel, given.to.address, repr(given.data), given.priority, given.reference)
    await pool.execute(INSERT, id_, *row)
    await enqueue(str(id_))
    return {"id": str(id_), "status": "accepted"}
