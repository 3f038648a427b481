"""Whether parts fit the channels they are for, before anything is parsed; every problem names its field."""

from __future__ import annotations

import re
from difflib import get_close_matches

from portal.errors import InvalidInput
from portal.message_templates.build import MJML, AllParts, Kinds, PartKind, Parts
from portal.message_templates.language import MAX_SOURCE
from portal.plugin_loader import Registry
from portal.sdk import ChannelAdapter

LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,5}")
MAX_LOCALES = 100
MAX_TOTAL = 4_000_000


def checked_kinds(parts: AllParts, registry: Registry) -> dict[str, Kinds]:
    """The kinds of each channel's parts; raises `InvalidInput` when parts, locales or channels are not as they must be."""
    problems: dict[str, str] = {}
    if not parts:
        problems["parts"] = f"expected at least one channel of {_listed(registry.channels)}"
    for channel, locales in parts.items():
        adapter = registry.channels.get(channel)
        if adapter is None:
            problems[f"parts.{channel}"] = _no_such("channel", channel, list(registry.channels))
        else:
            _check_locales(locales, adapter, problems)
    if sum(len(text) for locales in parts.values() for each in locales.values() for text in each.values()) > MAX_TOTAL:
        problems["parts"] = f"expected at most {MAX_TOTAL} characters in all"
    if problems:
        raise InvalidInput(problems)
    return {channel: kinds_of(registry.channels[channel]) for channel in parts}


def kinds_of(adapter: ChannelAdapter) -> Kinds:
    """What rendering must know of each part; MJML may stand in for HTML."""
    kinds = {
        name: PartKind(part.kind, part.single_line, part.required, part.max_length)
        for name, part in adapter.parts.items()
    }
    if any(part.kind == "html" for part in kinds.values()):
        kinds[MJML] = PartKind()
    return kinds


def _check_locales(locales: dict[str, Parts], adapter: ChannelAdapter, problems: dict[str, str]) -> None:
    path = f"parts.{adapter.name}"
    if not locales or len(locales) > MAX_LOCALES:
        problems[path] = f'expected one to {MAX_LOCALES} locales, such as {{"en": {{…}}}}'
    seen: dict[str, str] = {}
    for locale, parts in locales.items():
        plain = locale.replace("_", "-").lower()
        if not LOCALE.fullmatch(locale):
            problems[f"{path}.{locale}"] = "expected a locale such as en, de-AT or zh-Hans"
        elif plain in seen:
            problems[f"{path}.{locale}"] = f"the same locale as {seen[plain]}"
        else:
            _check_parts(parts, adapter, f"{path}.{locale}", problems)
        seen[plain] = locale


def _check_parts(parts: Parts, adapter: ChannelAdapter, path: str, problems: dict[str, str]) -> None:
    kinds = kinds_of(adapter)
    for name, text in parts.items():
        if name not in kinds:
            problems[f"{path}.{name}"] = _no_such(f"part of {adapter.name}", name, list(kinds))
        elif (problem := _text_problem(text, kinds[name])) is not None:
            problems[f"{path}.{name}"] = problem
    for name, part in adapter.parts.items():
        stands_in = part.kind == "html" and MJML in parts
        if part.required and not stands_in and not parts.get(name, "").strip():
            problems[f"{path}.{name}"] = f"expected a text: the channel {adapter.name} needs this part"
        if stands_in and name in parts:
            problems[f"{path}.{MJML}"] = f"expected either {MJML} or {name}, not both"


def _text_problem(text: str, part: PartKind) -> str | None:
    if len(text) > MAX_SOURCE:
        return f"expected at most {MAX_SOURCE} characters, got {len(text)}"
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return "expected a text without NUL and lone surrogates"
    if part.single_line and ("\n" in text.strip() or "\r" in text.strip()):
        return "expected one line"
    return None


def check_trial(trial: AllParts, built: AllParts, registry: Registry) -> dict[str, str]:
    """What the channel says to the parts as example data fill them; where they could not, to their presence alone."""
    problems: dict[str, str] = {}
    for channel, locales in built.items():
        for locale, parts in locales.items():
            shown = trial.get(channel, {}).get(locale) or _stand_ins(parts, registry.channels[channel])
            for name, problem in registry.channels[channel].validate(shown).items():
                problems[f"parts.{channel}.{locale}.{name}"] = problem
    return problems


def _stand_ins(parts: Parts, adapter: ChannelAdapter) -> Parts:
    return {name: "{}" if adapter.parts[name].kind == "json" else "x" for name in parts}


def _no_such(what: str, name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no {what} called {name[:60]}; expected one of {_listed(known)}{hint}"


def _listed(names: object) -> str:
    return ", ".join(sorted(names)) or "none"  # type: ignore[call-overload]  # any collection of texts
