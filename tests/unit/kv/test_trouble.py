"""One word per kind of trouble, from whatever the client raises."""

from __future__ import annotations

import pytest
from redis import exceptions as redis

from portal.kv.trouble import SENTENCES, classify


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (redis.ConnectionError("refused"), "down"),
        (redis.TimeoutError("slow"), "down"),
        (OSError("no route"), "down"),
        (TimeoutError(), "down"),
        (redis.BusyLoadingError("loading"), "loading"),
        (redis.AuthenticationError("wrong"), "denied"),
        (redis.NoPermissionError("no"), "denied"),
        (redis.OutOfMemoryError("command not allowed"), "memory"),
        (redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'. script: x"), "memory"),
        (redis.ExecAbortError("Transaction discarded because of: OOM command not allowed"), "memory"),
        (redis.ReadOnlyError("You can't write against a read only replica."), "read-only"),
        (redis.ResponseError("READONLY You can't write against a read only replica. script: x"), "read-only"),
        (redis.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), "disk"),
        (redis.WatchError("changed"), "contention"),
        (redis.ResponseError("WRONGTYPE Operation against a key"), "error"),
    ],
)
def test_each_error_has_its_word(error: Exception, trouble: str) -> None:
    assert classify(error) == trouble
    assert trouble == "contention" or trouble in SENTENCES
