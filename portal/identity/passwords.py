"""Local passwords: Argon2id, in a thread, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import TypeVar
from weakref import WeakKeyDictionary

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from portal.errors import InvalidInput, TooMany

T = TypeVar("T")

# RFC 9106, second recommended option: 64 MiB, three passes, four lanes.
hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
# Each costs 64 MiB and a core for a moment: more than this at once would be an attack by itself.
AT_ONCE = 2
WAITING = 20
MIN_LENGTH, MAX_LENGTH = 12, 256
# What is tried first, after lower-casing and without digits and signs at the end.
COMMON = frozenset(
    [
        "password",
        "passwort",
        "passphrase",
        "letmein",
        "welcome",
        "qwerty",
        "qwertyuiop",
        "qwertzuiop",
        "iloveyou",
        "administrator",
        "admin",
        "changeme",
        "changeit",
        "secret",
        "default",
        "pushportal",
        "notification",
        "master",
        "monkey",
        "dragon",
        "sunshine",
        "princess",
        "football",
        "baseball",
        "superman",
        "trustno",
        "abcdefghijkl",
        "abcdefgh",
        "asdfghjkl",
        "zxcvbnm",
        "correcthorsebatterystaple",
    ]
)


class _Gate:
    """How many hashes run and wait in this event loop."""

    def __init__(self) -> None:
        self.running = asyncio.Semaphore(AT_ONCE)
        self.waiting = 0


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, _Gate] = WeakKeyDictionary()


async def hash_password(password: str) -> str:
    """The hash to store."""
    return await _in_turn(hasher.hash, password)


async def is_password(stored: str | None, password: str) -> bool:
    """True when `password` made `stored`; takes as long when nothing is stored."""
    matches = await _in_turn(_matches, stored, password[:MAX_LENGTH])
    return matches and stored is not None


def check_password(password: str, *about: str) -> None:
    """Return for a password that is worth having; raise `InvalidInput`. `about` holds what it must not be made of."""
    wrong = ""
    plain = password.lower().rstrip("0123456789!?.-_#$ ")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        wrong = f"expected {MIN_LENGTH} to {MAX_LENGTH} characters"
    elif len(set(password)) < 5:
        wrong = "expected more than a few different characters"
    elif plain in COMMON or any(word and plain == word.lower() for text in about for word in (text, *text.split("@"))):
        wrong = "expected something that is not guessed first"
    if wrong:
        raise InvalidInput({"password": wrong})


@cache
def _nobody() -> str:
    """A hash of nobody's password: verified when there is no user, so that both answers take the same time."""
    return hasher.hash("nobody signs in with this")


def _matches(stored: str | None, password: str) -> bool:
    try:
        return hasher.verify(stored or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False


async def _in_turn(work: Callable[..., T], *args: str | None) -> T:
    gate = _gates.setdefault(asyncio.get_running_loop(), _Gate())
    if gate.waiting >= WAITING:
        raise TooMany("Many people are signing in at this moment; try again shortly.", retry_after=2.0)
    gate.waiting += 1
    try:
        async with gate.running:
            return await asyncio.to_thread(work, *args)
    finally:
        gate.waiting -= 1
