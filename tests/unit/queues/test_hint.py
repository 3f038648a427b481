"""What a hint looks like in Redis."""

from __future__ import annotations

import pickle
from uuid import uuid4

import msgspec
import pytest
from arq.jobs import DeserializationError, deserialize_job_raw

from portal.queues.lanes import chunk_of, deserialize, hint_payload


def test_a_hint_is_an_arq_job_that_carries_the_chunk_id_and_nothing_else() -> None:
    chunk_id = uuid4()
    name, args, kwargs, job_try, _ = deserialize_job_raw(hint_payload(chunk_id), deserializer=deserialize)
    assert (name, list(args), kwargs, job_try) == ("chunk", [chunk_id.bytes], {}, None)
    assert chunk_of(args[0]) == chunk_id


@pytest.mark.parametrize(
    "planted", [b"", b"\x80", pickle.dumps({"f": "chunk"}), b'{"f":"chunk"}', msgspec.msgpack.encode(1)]
)
def test_anything_but_our_msgpack_is_refused(planted: bytes) -> None:
    with pytest.raises(DeserializationError):
        deserialize_job_raw(planted, deserializer=deserialize)


@pytest.mark.parametrize("argument", [None, 7, "x" * 16, b"short", b"x" * 17, []])
def test_an_argument_that_is_no_id_is_no_chunk(argument: object) -> None:
    assert chunk_of(argument) is None
