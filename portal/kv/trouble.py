"""What a Redis error means for us: a pure decision, so that everybody says the same thing about it."""

from __future__ import annotations

from typing import Literal

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    WatchError,
)

Trouble = Literal["down", "loading", "denied", "memory", "read-only", "disk", "contention", "error"]

# One sentence each for the log, /ready and the operator's page: what happened and what to do.
SENTENCES: dict[str, str] = {
    "none": "Redis answers and accepts writes",
    "unset": "no Redis is configured; delivery goes on by polling the database",
    "down": "Redis does not answer; check that it runs and can be reached",
    "loading": "Redis is loading its data and will answer by itself",
    "denied": "Redis refuses our credentials or commands; check PORTAL_REDIS_URL and its access list",
    "memory": "Redis is out of memory and refuses writes; raise its maxmemory",
    "read-only": "Redis is a read-only replica; point PORTAL_REDIS_URL at the primary",
    "disk": "Redis cannot write to its disk and refuses writes; free disk space",
    "error": "Redis refuses a command",
}

_CLASSES: tuple[tuple[type[Exception], Trouble], ...] = (
    (WatchError, "contention"),
    (BusyLoadingError, "loading"),
    (AuthenticationError, "denied"),
    (AuthorizationError, "denied"),
    (NoPermissionError, "denied"),
    (OutOfMemoryError, "memory"),
    (ReadOnlyError, "read-only"),
)
# A script or a transaction wraps the server's error: only its text tells them apart then.
_WORDS: tuple[tuple[str, Trouble], ...] = (
    ("MISCONF", "disk"),
    ("No space left", "disk"),
    ("OOM", "memory"),
    ("maxmemory", "memory"),
    ("READONLY", "read-only"),
    ("read only replica", "read-only"),
    ("MASTERDOWN", "down"),
    ("NOREPLICAS", "down"),
    ("LOADING", "loading"),
    ("NOPERM", "denied"),
    ("NOAUTH", "denied"),
)


def classify(error: BaseException) -> Trouble:
    """Which trouble an error of the client shows.

    "contention" means that another process was first, "error" that this one command was refused: after both the
    connection is as good as before. No answer at all, of whatever kind, is "down".
    """
    for kind, trouble in _CLASSES:
        if isinstance(error, kind):
            return trouble
    if not isinstance(error, ResponseError):
        return "down"
    text = str(error)
    return next((trouble for word, trouble in _WORDS if word in text), "error")
