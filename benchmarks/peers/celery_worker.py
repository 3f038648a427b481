"""The working side on Celery: one task per notification, which marks its row as sent."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from celery import Celery

app = Celery("peer", broker=os.environ["PORTAL_REDIS_URL"])
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=64)
_connection: psycopg.Connection[Any] | None = None


@app.task(name="deliver")
def deliver(notification_id: str) -> None:
    global _connection
    if _connection is None:
        _connection = psycopg.connect(os.environ["PORTAL_DATABASE_URL"], autocommit=True)
    _connection.execute("UPDATE peer_notification SET status = 'sent' WHERE id = %s", (notification_id,))
