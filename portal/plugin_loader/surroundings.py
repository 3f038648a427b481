"""What a process shares and a plugin must leave alone: noticed, named and put back after each plugin's import."""

import locale
import os
import signal
import socket
import threading
from types import TracebackType
from typing import Any, Self

WATCHED_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD", "SIGUSR1", "SIGALRM")
    if hasattr(signal, name)
)


class Surroundings:
    """A context manager; afterwards `changes` says what was changed inside, and has been put back."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self._before: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._before = _look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        after = _look()
        for what, value in self._before.items():
            if after[what] != value:
                _put_back(what, value)
                self.changes.append(f"Changed the process's {what} while loading; it was put back.")


def _look() -> dict[str, Any]:
    seen: dict[str, Any] = {
        "working directory": _cwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "default socket timeout": socket.getdefaulttimeout(),
        "file mode mask": _umask(),
    }
    if threading.current_thread() is threading.main_thread():
        seen["signal handlers"] = {number: signal.getsignal(number) for number in WATCHED_SIGNALS}
    return seen


def _cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - only to compare and to go back
    except FileNotFoundError:
        return "/"


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _put_back(what: str, value: Any) -> None:
    if what == "working directory":
        os.chdir(value)
    elif what == "locale":
        locale.setlocale(locale.LC_ALL, value)
    elif what == "default socket timeout":
        socket.setdefaulttimeout(value)
    elif what == "file mode mask":
        os.umask(value)
    else:
        for number, handler in value.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
