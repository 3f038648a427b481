"""How every process logs: one line per record, control characters escaped, secrets taken out, no bodies.

An exception is logged by its type and the places it went through. Its text is kept only for types whose text the
interpreter or the operating system writes (`SAFE_ERRORS`); any other text may quote a message, an address or a query.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

SAFE_ERRORS = (OSError, ImportError, NameError, AttributeError, TypeError, RecursionError, MemoryError, SyntaxError)
FRAMES = 8
# Our own files are named from the folder that holds the package.
_ROOT = str(Path(__file__).resolve().parents[2]) + "/"

_HIDDEN = "[hidden]"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # our own keys: the prefix stays, so that a reader knows what was there
    (re.compile(r"\b(pp_(?:live|test)_)[A-Za-z0-9_\-]+"), r"\1" + _HIDDEN),
    # Authorization and cookie headers, in any of the notations that a header or a dict of them prints as
    (
        re.compile(
            r"""(?i)((?:proxy-)?authorization|x-api-key|set-cookie|cookie|x-csrf-token)(["']?\s*[:=,]\s*b?["']?)"""
            r"""(?:(?:bearer|basic|digest|token)\s+)?[^"'\r\n,}\]]+"""
        ),
        r"\1\2" + _HIDDEN,
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{8,}"), r"\1 " + _HIDDEN),
    # passwords in addresses of databases, brokers and mail servers
    (re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*://[^/\s:@]*):[^/\s@]+@"), r"\1:" + _HIDDEN + "@"),
    # named secrets, in a query string, a form, JSON or key=value
    (
        re.compile(
            r"""(?i)\b([a-z0-9_\-]*(?:secret|password|passwd|token|api[_-]?key|signature|credential)[a-z0-9_\-]*)"""
            r"""(["']?\s*[=:]\s*b?["']?)[^\s"'&,;}\]]+"""
        ),
        r"\1\2" + _HIDDEN,
    ),
    (re.compile(r"([?&](?:code|sig|key|t|state|nonce|otp)=)[^&\s\"']+"), r"\1" + _HIDDEN),
    # signed links carry their token as a long last segment; ids (UUIDs) stay
    (re.compile(r"(/)(?![0-9a-fA-F]{8}-[0-9a-fA-F]{4}-)[A-Za-z0-9_\-.]{32,}(?=[/?#\s\"']|$)"), r"\1" + _HIDDEN),
    # whom we write to
    (re.compile(r"[A-Za-z0-9._%+\-]+@(?=[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,}\b)"), "…@"),
    (re.compile(r"(?<![\w.+\-])\+\d{5,13}(\d{2})\b"), r"+…\1"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# What logging puts on every record; the rest was given by `extra=`.
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """The text without keys, credentials, tokens of links, mail addresses and telephone numbers."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def summary(error: BaseException) -> str:
    """An error for the log: its type, its text where that is safe, and the places from the innermost outwards."""
    return f"{_name(error)} at {where(error)}"


def where(error: BaseException) -> str:
    """File, line and function of the innermost frames; never a source line or a value."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)][-FRAMES:]
    places = [f"{_short(code.co_filename)}:{line} {code.co_name}" for code, line in reversed(frames)]
    return " < ".join(places) or "(no frames)"


def _name(error: BaseException) -> str:
    name = type(error).__qualname__
    if isinstance(error, SAFE_ERRORS):
        return f"{name}: {redact(str(error))[:300]}"
    if isinstance(error, BaseExceptionGroup):
        return f"{name}[{', '.join(_name(inner) for inner in error.exceptions[:4])}]"
    return name


def _short(path: str) -> str:
    for mark in ("/site-packages/", "/lib/python"):
        if mark in path:
            return path.rpartition(mark)[2]
    return path.removeprefix(_ROOT)


class LineFormatter(logging.Formatter):
    """One line per record: `time level logger message key=value … error=…`, or the same as a JSON object."""

    def __init__(self, *, as_json: bool = False) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """The line, redacted and without control characters."""
        fields = self._fields(record)
        if self._as_json:
            return redact(json.dumps(fields, ensure_ascii=False, default=str))
        head = f"{fields.pop('time')} {fields.pop('level'):<7} {fields.pop('logger')} {fields.pop('message')}"
        tail = "".join(f" {key}={value}" for key, value in fields.items())
        return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), redact(head + tail))

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        fields.update((key, value) for key, value in vars(record).items() if key not in _PLAIN)
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = _chain(record.exc_info[1])
        return fields


def _message(record: logging.LogRecord) -> str:
    """The message; a wrong format string must not lose the record, nor print its arguments."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return str(record.msg)


def _chain(error: BaseException) -> str:
    """The error and what caused it, innermost cause last, at most four."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < 4:
        parts.append(summary(current))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return " caused by ".join(parts)


def configure(level: str = "info", *, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send every record of this process, from whatever library, through the one formatter to standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter(as_json=as_json))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    # A failing log call says so on standard error with the record's arguments; better to lose the record.
    logging.raiseExceptions = False
    # HTTP clients log whole addresses, in which some vendors want their tokens.
    for name in ("asyncio", "aiosqlite", "httpx", "httpx2", "httpcore", "httpcore2", "hpack", "alembic"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("portal").critical("the process ends", exc_info=(kind, error, trace))
