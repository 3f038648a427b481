"""From what an author wrote to what is rendered: conversion, compilation, the variables used, a trial with example data.

Everything here may meet hostile input and native parsers, so it runs in a process that can be killed (`killable.py`).
It does no I/O and knows nothing of the database.
"""

from __future__ import annotations

from typing import Any

import msgspec
from jinja2 import nodes
from jinja2.exceptions import TemplateError
from msgspec import Struct

from portal.message_templates.contract import Checker, Contract, infer
from portal.message_templates.filters import MAX_STEPS
from portal.message_templates.html import CannotConvert, html_of_mjml, inline_styles, text_of_html
from portal.message_templates.language import Program, Refused, parse

MJML = "mjml"
Parts = dict[str, str]
AllParts = dict[str, dict[str, Parts]]


class PartKind(Struct, frozen=True, omit_defaults=True):
    """What rendering must know of a part; kept with the version, so that it renders without its plugin."""

    kind: str = "text"
    single_line: bool = False
    required: bool = False
    max_length: int | None = None


Kinds = dict[str, PartKind]


class BuildRequest(Struct, tag="build"):
    """Parts as written (channel → locale → part → source), and the kinds of each channel's parts."""

    parts: AllParts
    kinds: dict[str, Kinds]
    contract: Contract | None = None


class BuildAnswer(Struct, tag="built"):
    """Parts ready to render, the contract taken from them, and what they give for example data.

    `problems` refuse the template, `warnings` do not; both by field path.
    """

    parts: AllParts
    contract: Contract
    trial: AllParts
    problems: dict[str, str]
    warnings: dict[str, str]


class RenderRequest(Struct, tag="render"):
    """Parts of one channel and locale as written, to be rendered with these data."""

    parts: Parts
    kinds: Kinds
    data: dict[str, Any]
    locale: str = "en"
    steps: int = MAX_STEPS


class RenderAnswer(Struct, tag="rendered"):
    """The texts that could be made, and why the others could not, by part."""

    parts: Parts
    problems: dict[str, str]


def build(request: BuildRequest) -> BuildAnswer:
    """Convert, compile and try every part. Never raises for what an author wrote."""
    answer = BuildAnswer(parts={}, contract=Contract(), trial={}, problems={}, warnings={})
    trees: list[nodes.Template] = []
    for channel, locales in request.parts.items():
        for locale, parts in locales.items():
            path = f"parts.{channel}.{locale}"
            ready = make_ready(parts, request.kinds[channel], path, answer.problems)
            answer.parts.setdefault(channel, {})[locale] = ready
            trees.extend(_parsed(ready, request.kinds[channel], path, answer.problems))
    if not answer.problems:
        answer.contract = infer(trees)
        _try(request, answer)
    return answer


def make_ready(parts: Parts, kinds: Kinds, path: str, problems: dict[str, str]) -> Parts:
    """MJML turned into HTML, style sheets inlined, a missing text part taken from the HTML."""
    ready = dict(parts)
    # The name of the part the author wrote is the one that a problem is shown at.
    written_in = MJML if MJML in ready else next((name for name in ready if kinds[name].kind == "html"), "")
    try:
        if MJML in ready:
            ready[_html_part(kinds)] = html_of_mjml(ready.pop(MJML))
        ready = {name: inline_styles(text) if kinds[name].kind == "html" else text for name, text in ready.items()}
        if written_in and "text" in kinds and not ready.get("text"):
            ready["text"] = text_of_html(ready[_html_part(kinds)])
    except CannotConvert as error:
        problems[f"{path}.{written_in}"] = str(error)
    return ready


def _html_part(kinds: Kinds) -> str:
    return next(name for name, part in kinds.items() if part.kind == "html")


def _parsed(parts: Parts, kinds: Kinds, path: str, problems: dict[str, str]) -> list[nodes.Template]:
    trees = []
    for name, source in parts.items():
        part = kinds.get(name, PartKind())
        try:
            trees.append(parse(source, part.kind))
            Program(source, part.kind)
        except Refused as error:
            problems.setdefault(f"{path}.{name}", str(error))
    return trees


def _try(request: BuildRequest, answer: BuildAnswer) -> None:
    """Render everything once with example data; what fails with them is a warning, for real data may do better."""
    contract = request.contract or answer.contract
    data = contract.example()
    if Checker(contract).check(data):
        return
    for channel, locales in answer.parts.items():
        for locale, parts in locales.items():
            made = render(RenderRequest(parts=parts, kinds=request.kinds[channel], data=data, locale=locale))
            for name, problem in made.problems.items():
                answer.warnings[f"parts.{channel}.{locale}.{name}"] = f"with example data: {problem}"
            if not made.problems:
                answer.trial.setdefault(channel, {})[locale] = made.parts


def render(request: RenderRequest) -> RenderAnswer:
    """Convert and render one set of parts; problems name the line."""
    answer = RenderAnswer(parts={}, problems={})
    found: dict[str, str] = {}
    ready = make_ready(request.parts, request.kinds, "", found)
    answer.problems.update({path.removeprefix("."): problem for path, problem in found.items()})
    for name, source in ready.items():
        if name == MJML:
            continue
        try:
            answer.parts[name] = render_part(source, request.kinds.get(name, PartKind()), request)
        except Refused as error:
            answer.problems[name] = str(error)
    return answer


def render_part(source: str, part: PartKind, request: RenderRequest) -> str:
    """One part compiled and rendered; raises `Refused` with the line for whatever goes wrong."""
    program = Program(source, part.kind)
    try:
        made = program.render(request.data, locale=request.locale, steps=request.steps)
    except (TemplateError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
        raise Refused(str(error) or type(error).__name__, program.line_of(error)) from None
    return one_line(made) if part.single_line else made


def fault_of(text: str, part: PartKind) -> str | None:
    """Why a rendered text cannot be this part, or None."""
    if part.max_length is not None and len(text) > part.max_length:
        return f"This makes {len(text)} characters; the part takes {part.max_length}."
    if part.required and not text.strip():
        return "This makes an empty text, and the part is needed."
    if part.kind == "json":
        try:
            msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            return f"This makes no valid JSON: {error}."
    return None


def one_line(text: str) -> str:
    """All white space, line breaks above all, as single blanks: what becomes a header holds nothing else."""
    return " ".join(text.replace("\0", " ").split())
