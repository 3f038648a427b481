"""What a hint looks like in Redis."""

from __future__ import annotations

import pickle
from uuid import uuid4

import msgspec
import pytest
from arq.jobs import deserialize_job_raw, serialize_job

from portal.queues.lanes import chunk_of, deserialize, hint_payload, serialize


def test_a_hint_is_an_arq_job_that_carries_the_chunk_id_and_nothing_else() -> None:
    chunk_id = uuid4()
    payload = hint_payload(chunk_id)
    name, args, kwargs, job_try, _ = deserialize_job_raw(payload, deserializer=deserialize)
    assert (name, list(args), kwargs, job_try) == ("chunk", [chunk_id.bytes], {}, None)
    assert chunk_of(payload) == chunk_id


def job(name: str = "chunk", *arguments: object) -> bytes:
    """A well-formed arq job."""
    return serialize_job(name, arguments, {}, None, 1, serializer=serialize)


@pytest.mark.parametrize(
    "planted",
    [
        b"",
        b"\x80",
        pickle.dumps({"t": None, "f": "chunk", "a": (b"x" * 16,), "k": {}, "et": 1}),
        b'{"f":"chunk"}',
        msgspec.msgpack.encode(1),
        msgspec.msgpack.encode({"f": "chunk"}),
        job("chunk"),
        job("chunk", "x" * 16),
        job("chunk", b"short"),
        job("chunk", b"x" * 16, b"more"),
        job("os.system", b"x" * 16),
    ],
)
def test_anything_else_is_no_chunk(planted: bytes) -> None:
    assert chunk_of(planted) is None
