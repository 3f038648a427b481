"""The gate of a batch: read at each claim of one of its chunks, so that nothing leaves while it is closed."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, or_, select

from portal.ledger.models import Batch, Chunk


def is_open() -> ColumnElement[bool]:
    """A condition on `chunk`: it belongs to no batch, or to one that is running."""
    running = exists(select(Batch.id).where(Batch.id == Chunk.batch_id, Batch.gate == "running"))
    return or_(Chunk.batch_id.is_(None), running)
