"""Rendering: published versions in this process, drafts in a process that can be killed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from jinja2.exceptions import TemplateError
from msgspec import Struct

from portal.errors import PortalError
from portal.message_templates.build import AllParts, Kinds, PartKind, RenderAnswer, RenderRequest, fault_of, one_line
from portal.message_templates.contract import Checker
from portal.message_templates.filters import MAX_STEPS
from portal.message_templates.killable import RENDER_SECONDS, Killable
from portal.message_templates.language import Program, Refused

RenderedParts = dict[str, str]
# Locales asked for are remembered per version; they come from requests, so there is an end to it.
LOCALES_REMEMBERED = 200


class RenderFailed(PortalError):
    """These data make no message of this template. Trying again gives the same; `part` and `line` say where."""

    code = "render_failed"

    def __init__(self, part: str, line: int, message: str) -> None:
        super().__init__(f"{part}, line {line}: {message}")
        self.part = part
        self.line = line


class Compiled(NamedTuple):
    """One part, ready to run."""

    name: str
    program: Program
    part: PartKind


class Content:
    """The parts of one version: finds the locale to use and keeps what was compiled."""

    __slots__ = ("_chosen", "_compiled", "_kinds", "_parts", "default_locale")

    def __init__(self, parts: AllParts, kinds: dict[str, Kinds], default_locale: str) -> None:
        self._parts = parts
        self._kinds = kinds
        self.default_locale = default_locale
        self._chosen: dict[tuple[str, str | None], str] = {}
        self._compiled: dict[tuple[str, str], tuple[Compiled, ...]] = {}

    def locale_for(self, channel: str, asked: str | None) -> str:
        """The locale whose parts are used for a recipient who wants `asked`; raises KeyError for a foreign channel."""
        found = self._chosen.get((channel, asked))
        if found is None:
            found = choose_locale(self._parts[channel], asked, self.default_locale)
            if len(self._chosen) < LOCALES_REMEMBERED:
                self._chosen[channel, asked] = found
        return found

    def programs(self, channel: str, locale: str) -> tuple[Compiled, ...]:
        """The parts of one channel and locale, compiled the first time they are used in this process."""
        found = self._compiled.get((channel, locale))
        if found is None:
            found = self._compiled[channel, locale] = tuple(self._compile(channel, locale))
        return found

    def warm(self, at_most: int) -> None:
        """Compile ahead of use, at most so many locales; runs in a thread, because a long mail takes some 10 ms."""
        pairs = [(channel, locale) for channel, locales in self._parts.items() for locale in locales]
        for channel, locale in pairs[:at_most]:
            try:
                self.programs(channel, locale)
            except RenderFailed:
                # Reported where it is rendered.
                continue

    def _compile(self, channel: str, locale: str) -> Iterator[Compiled]:
        kinds = self._kinds.get(channel, {})
        for name, source in self._parts[channel][locale].items():
            part = kinds.get(name, PartKind())
            try:
                yield Compiled(name, Program(source, part.kind), part)
            except Refused as error:
                raise RenderFailed(name, error.line, error.message) from None


class VersionEntry(Struct, frozen=True, kw_only=True):
    """One version as rendering sees it; its parts are compiled when they are first used."""

    id: UUID
    template_id: UUID
    key: str
    n: int
    contract: Checker
    channels: frozenset[str]
    default_locale: str
    content: Content


class Renderer:
    """`render` is synchronous and quick: steps and output are limited, so no template can hold up its process."""

    def __init__(self, *, children: int = 2) -> None:
        self.killable = Killable(children)

    def render(self, version: VersionEntry, channel: str, locale: str | None, data: dict[str, Any]) -> RenderedParts:
        """Part → text of the best locale; raises `RenderFailed`."""
        content = version.content
        try:
            chosen = content.locale_for(channel, locale)
        except KeyError:
            raise RenderFailed(channel, 1, f"The template has no content for the channel {channel}.") from None
        made: RenderedParts = {}
        for name, program, part in content.programs(channel, chosen):
            try:
                text = program.render(data, locale=chosen)
            except (TemplateError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
                message = str(error) or type(error).__name__
                raise RenderFailed(name, program.line_of(error), message) from None
            made[name] = text = one_line(text) if part.single_line else text
            if (fault := fault_of(text, part)) is not None:
                raise RenderFailed(name, 1, fault)
        return made

    async def render_untrusted(
        self,
        parts: dict[str, str],
        kinds: Kinds,
        data: dict[str, Any],
        *,
        locale: str = "en",
        steps: int = MAX_STEPS,
        seconds: float = RENDER_SECONDS,
    ) -> RenderAnswer:
        """Parts as they are written, rendered in a child that is killed after `seconds`; raises `Stopped`."""
        request = RenderRequest(parts=parts, kinds=kinds, data=data, locale=locale, steps=steps)
        return await self.killable.render(request, seconds=seconds)

    async def close(self) -> None:
        """End the children."""
        await self.killable.close()


def choose_locale(have: dict[str, Any], asked: str | None, default: str) -> str:
    """zh-Hans-CN → zh-Hans → zh → another Chinese → the default, in the same way → any."""
    by_name = {name.replace("_", "-").lower(): name for name in sorted(have, reverse=True)}
    for wanted in (asked, default):
        for tag in _shorter_and_shorter(wanted):
            if tag in by_name:
                return by_name[tag]
        language = (wanted or "").replace("_", "-").lower().split("-")[0]
        kin = [name for tag, name in by_name.items() if language and tag.split("-")[0] == language]
        if kin:
            return min(kin)
    return min(have)


def _shorter_and_shorter(tag: str | None) -> Iterator[str]:
    pieces = (tag or "").replace("_", "-").lower().split("-")
    for length in range(len(pieces), 0, -1):
        yield "-".join(pieces[:length])
