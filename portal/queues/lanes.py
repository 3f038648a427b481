"""The names of the lanes and the form of a hint in Redis: arq's own keys, msgpack, and nothing but an id inside."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.jobs import SerializationError, deserialize_job_raw, serialize_job
from arq.utils import timestamp_ms

LANES = ("high", "medium", "low")
QUEUES = {lane: f"portal:lane:{lane}" for lane in LANES}
LANE_OF = {queue: lane for lane, queue in QUEUES.items()}
FUNCTION = "chunk"
# A hint nobody took for a day is dropped; the sweeper rings again for a chunk that still waits.
HINT_LIFE_MS = 24 * 3600 * 1000

JOB, LOCK = job_key_prefix, in_progress_key_prefix

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(dict[str, Any])


class Hint(NamedTuple):
    """Work on this chunk, now or (`at`, aware UTC) later."""

    lane: str
    chunk_id: UUID
    at: datetime | None = None


def bell_channel(db: int) -> str:
    """The channel on which a ring is heard; channels are shared by all databases of a server, so it names its own."""
    return f"portal:bell:{db}"


def serialize(job: dict[str, Any]) -> bytes:
    """msgpack; arq's default would be pickle, and a write to Redis would then run code in a worker."""
    return _encode(job)


def deserialize(payload: bytes) -> dict[str, Any]:
    """The inverse of `serialize`; raises `msgspec.DecodeError` for anything else, pickles included."""
    return _decoder.decode(payload)


def hint_payload(chunk_id: UUID) -> bytes:
    """An arq job that carries the chunk's id and nothing else."""
    payload: bytes = serialize_job(FUNCTION, (chunk_id.bytes,), {}, None, timestamp_ms(), serializer=serialize)
    return payload


def chunk_of(payload: bytes) -> UUID | None:
    """The chunk id that a job carries; None when it is not a job of ours."""
    try:
        name, arguments, *_ = deserialize_job_raw(payload, deserializer=deserialize)
    except SerializationError:
        return None
    if name != FUNCTION or len(arguments) != 1 or not isinstance(arguments[0], bytes) or len(arguments[0]) != 16:
        return None
    return UUID(bytes=arguments[0])
