"""Whether what a plugin registered keeps the contract, before anything relies on it."""

import inspect
import re
from typing import Any

import msgspec
from msgspec import Struct

from portal.sdk import EVERY_CHANNEL, Capabilities, ChannelAdapter, Part, Provider, implements

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def channel_problem(kind: Any) -> str | None:
    """Why this cannot be a channel adapter, as a sentence; None when it can."""
    if not (inspect.isclass(kind) and issubclass(kind, ChannelAdapter)):
        return f"register_channels returned {kind!r:.80}; expected classes derived from ChannelAdapter."
    problem = _name_problem(kind, "name", "title")
    if problem is not None:
        return problem
    parts = getattr(kind, "parts", None)
    if not isinstance(parts, dict) or not parts or not all(isinstance(part, Part) for part in parts.values()):
        return f"{kind.__name__}.parts must be a dict of part names to Part."
    if kind.normalise is ChannelAdapter.normalise:
        return f"{kind.__name__} does not implement normalise."
    return None


def provider_problem(kind: Any) -> str | None:
    """Why this cannot be a provider, as a sentence; None when it can."""
    if not (inspect.isclass(kind) and issubclass(kind, Provider)):
        return f"register_providers returned {kind!r:.80}; expected classes derived from Provider."
    problem = _name_problem(kind, "name", "title")
    if problem is not None:
        return problem
    channel = getattr(kind, "channel", None)
    if channel != EVERY_CHANNEL and not (isinstance(channel, str) and NAME.fullmatch(channel)):
        return f"{kind.__name__}.channel must be the name of a channel."
    if not isinstance(getattr(kind, "capabilities", None), Capabilities):
        return f"{kind.__name__}.capabilities must be a Capabilities."
    return _settings_problem(kind) or _method_problem(kind)


def _name_problem(kind: type, name: str, title: str) -> str | None:
    value = getattr(kind, name, None)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        return f"{kind.__name__}.name must be lower case letters, digits and underscores, at most 40."
    if not isinstance(getattr(kind, title, None), str):
        return f"{kind.__name__}.title must be a text."
    return None


def _settings_problem(kind: type[Provider]) -> str | None:
    settings: Any = kind.settings_type
    if not (inspect.isclass(settings) and issubclass(settings, Struct)):
        return f"{kind.__name__}.settings_type must be a msgspec Struct."
    try:
        msgspec.json.schema(settings)
    except Exception as error:
        return f"{kind.__name__}.settings_type cannot be described: {error}"
    return None


def _method_problem(kind: type[Provider]) -> str | None:
    if not implements(kind, "send"):
        return f"{kind.__name__} does not implement send."
    for name in ("send", "send_many", "open", "close", "lookup", "poll", "check", "recall"):
        if not inspect.iscoroutinefunction(getattr(kind, name)):
            return f"{kind.__name__}.{name} must be an async method."
    needed = {
        "send_many": kind.capabilities.batch > 1,
        "lookup": kind.capabilities.lookup,
        "poll": kind.capabilities.polls,
        "parse_callback": kind.capabilities.receipts,
    }
    for name, promised in needed.items():
        if promised and not implements(kind, name):
            return f"{kind.__name__}.capabilities promise {name}, which it does not implement."
    return None
