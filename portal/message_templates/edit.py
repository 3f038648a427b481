"""A template as its editor's form holds it: read from the form, made into a change, tried out. Stores nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from portal.errors import InvalidInput
from portal.message_templates.build import AllParts, BuildRequest, Parts
from portal.message_templates.check import checked_kinds
from portal.message_templates.contract import Checker, Contract, Variable, merged, problems_of
from portal.message_templates.killable import Killable, Stopped
from portal.message_templates.queries import AnyRow
from portal.message_templates.render import Renderer
from portal.message_templates.schemas import MeasureOut, PreviewOut, TemplateIn, TemplatePatch
from portal.plugin_loader import Registry

PART = re.compile(r"parts\.([^.]+)\.([^.]+)\.([^.]+)")
ROW = re.compile(r"contract\.variables\[(\d{1,3})\]\.name")
ROWS_AT_MOST = 200


class Edited(Struct, kw_only=True):
    """What stands in the editor. `variables` are the rows of the contract's table that have a name."""

    key: str = ""
    name: str = ""
    category: str = ""
    priority: str = ""
    default_locale: str = ""
    revision: int = 0
    parts: AllParts
    variables: list[Variable] = []

    @property
    def sections(self) -> list[tuple[str, str]]:
        """(channel, locale) of every section as they are shown: by channel, the default language first."""
        return [
            (channel, locale)
            for channel in sorted(self.parts)
            for locale in sorted(self.parts[channel], key=lambda each: (each != self.default_locale, each))
        ]

    @property
    def locales(self) -> list[str]:
        """Every locale that has a section."""
        return sorted({locale for _, locale in self.sections})


def edited_row(row: AnyRow) -> Edited:
    """The editor of a stored draft."""
    return Edited(
        key=row.key,
        name=row.name,
        category=row.category or "",
        priority=row.priority or "",
        default_locale=row.default_locale,
        revision=row.revision,
        parts=row.draft["parts"],
        variables=msgspec.convert(row.draft["contract"], Contract).variables,
    )


def edited_form(form: Mapping[str, Any], key: str = "") -> Edited:
    """The editor as it was sent; raises `InvalidInput` for what no form of ours holds."""
    texts = {name: value if isinstance(value, str) else str(value[-1]) for name, value in form.items()}
    parts: AllParts = {}
    for name, text in texts.items():
        if match := PART.fullmatch(name):
            channel, locale, part = match.groups()
            # Browsers send every line break of a text area as CRLF.
            parts.setdefault(channel, {}).setdefault(locale, {})[part] = text.replace("\r\n", "\n")
    return Edited(
        key=key or texts.get("key", "").strip(),
        name=texts.get("name", "").strip(),
        category=texts.get("category", "").strip(),
        priority=texts.get("priority", ""),
        default_locale=texts.get("default_locale", ""),
        revision=int(texts.get("revision", "0")) if texts.get("revision", "0").isdecimal() else 0,
        parts=parts,
        variables=_rows(texts),
    )


def without_empty(parts: AllParts) -> AllParts:
    """Parts that have a text: an optional part that was left empty is not there."""
    return {
        channel: {
            locale: {name: text for name, text in each.items() if text.strip()} for locale, each in locales.items()
        }
        for channel, locales in parts.items()
    }


async def settled_contract(edited: Edited, stored: Contract | None, registry: Registry, killable: Killable) -> Contract:
    """The contract that the author means: the variables that the parts use, described as in the table.

    A row that no part uses stays only when the author has just written or changed it. Raises `InvalidInput`.
    """
    typed = Contract(variables=edited.variables, extra=stored.extra if stored else False)
    if problems := problems_of(typed):
        raise InvalidInput(problems)
    parts = without_empty(edited.parts)
    kinds = checked_kinds(parts, registry)
    try:
        built = await killable.build(BuildRequest(parts=parts, kinds=kinds, contract=typed))
    except Stopped as error:
        raise InvalidInput({"parts": str(error)}) from None
    if built.problems:
        raise InvalidInput(built.problems)
    contract = merged(built.contract, typed)
    names = {variable.name for variable in contract.variables}
    before = stored.variables if stored else []
    contract.variables += [each for each in edited.variables if each.name not in names and each not in before]
    return contract


async def change_of(
    edited: Edited, stored: Contract, registry: Registry, killable: Killable, *, publish: bool
) -> TemplatePatch:
    """The change of a stored template that this editor asks for; raises `InvalidInput`."""
    return TemplatePatch(
        name=edited.name or edited.key,
        parts=without_empty(edited.parts),
        category=edited.category or None,
        priority=_priority(edited),
        default_locale=edited.default_locale if edited.default_locale in edited.locales else msgspec.UNSET,
        contract=await settled_contract(edited, stored, registry, killable),
        publish=publish,
    )


async def template_of(edited: Edited, registry: Registry, killable: Killable, *, publish: bool) -> TemplateIn:
    """The new template that this editor asks for; raises `InvalidInput`."""
    contract = await settled_contract(edited, None, registry, killable)
    given = {
        "key": edited.key,
        "name": edited.name or edited.key,
        "parts": without_empty(edited.parts),
        "category": edited.category or None,
        "priority": _priority(edited),
        "publish": publish,
    }
    wrong: dict[str, str] = {}
    for name in ("key", "name", "category"):
        try:
            msgspec.convert({"key": "x", "parts": {}, name: given[name]}, TemplateIn)
        except msgspec.ValidationError:
            wrong[name] = (
                "expected letters, digits, dot, hyphen and underscore"
                if name != "name"
                else "expected at most 200 characters"
            )
    if wrong:
        raise InvalidInput(wrong)
    template = msgspec.convert(given, TemplateIn)
    template.contract = contract
    return template


async def try_out(edited: Edited, channel: str, locale: str, registry: Registry, renderer: Renderer) -> PreviewOut:
    """One section rendered with example data, whatever state it is in; raises `InvalidInput` for no such section."""
    parts: Parts | None = edited.parts.get(channel, {}).get(locale)
    if parts is None or channel not in registry.channels:
        raise InvalidInput({"preview": "there is no such section"})
    written = {name: text for name, text in parts.items() if text.strip()}
    out = PreviewOut(channel=channel, locale=locale, parts={}, problems={}, measure=None, data={})
    only = msgspec.structs.replace(edited, parts={channel: {locale: written}})
    try:
        contract = await settled_contract(only, None, registry, renderer.killable)
        out.data = contract.example()
        out.problems = Checker(contract).check(out.data)
        kinds = checked_kinds(only.parts, registry)[channel]
        made = await renderer.render_untrusted(written, kinds, out.data, locale=locale)
    except InvalidInput as error:
        out.problems = _short(error.fields, channel, locale)
        return out
    except Stopped as error:
        out.problems = {"": str(error)}
        return out
    out.parts = made.parts
    out.problems |= made.problems
    if not made.problems:
        adapter = registry.channels[channel]
        size = adapter.measure(made.parts)
        out.problems |= adapter.validate(made.parts)
        out.measure = MeasureOut(size.unit, size.amount, size.limit, size.detail)
    return out


def _short(problems: Mapping[str, str], channel: str, locale: str) -> dict[str, str]:
    return {
        name.removeprefix(f"parts.{channel}.{locale}.").removeprefix("parts."): text for name, text in problems.items()
    }


def _priority(edited: Edited) -> Any:
    return edited.priority if edited.priority in ("high", "medium", "low") else None


def _rows(texts: Mapping[str, str]) -> list[Variable]:
    """The rows that have a name and were not taken out."""
    numbers = sorted(int(match[1]) for name in texts if (match := ROW.fullmatch(name)))
    found = []
    for number in numbers[:ROWS_AT_MOST]:
        path = f"contract.variables[{number}]"
        if texts[f"{path}.name"].strip() and not texts.get(f"{path}.remove"):
            found.append(_variable(texts, path))
    return found


def _variable(texts: Mapping[str, str], path: str) -> Variable:
    kind = texts.get(f"{path}.type", "any")
    inner = _json(texts.get(f"{path}.inner", ""), {}) if kind in ("object", "list") else {}
    values = {
        "name": texts[f"{path}.name"].strip(),
        "type": kind,
        "required": bool(texts.get(f"{path}.required")),
        "example": _example(kind, texts.get(f"{path}.example", "")),
        "description": texts.get(f"{path}.description", "").strip(),
        **{name: value for name, value in inner.items() if name in ("fields", "items", "extra")},
    }
    try:
        return msgspec.convert(values, Variable)
    except msgspec.ValidationError as error:
        raise InvalidInput({f"{path}.name": str(error).split(" - at")[0]}) from None


def _example(kind: str, text: str) -> Any:
    """An example as it was typed: text for texts, JSON for the rest, as it is where that does not fit."""
    if not text.strip():
        return None
    return text if kind in ("string", "date", "datetime", "url") else _json(text, text)


def _json(text: str, default: Any) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return default


class RowShown(Struct, kw_only=True):
    """A row of the contract's table as the form shows it. `inner` is the JSON of what the table cannot edit."""

    name: str = ""
    type: str = "any"
    required: bool = True
    example: str = ""
    placeholder: str = ""
    description: str = ""
    inner: str = ""
    contains: str = ""


def rows_shown(variables: Sequence[Variable]) -> list[RowShown]:
    """The table's rows, with an empty one at the end for a new variable."""
    examples = Contract(variables=list(variables)).example()
    return [*(_row_shown(each, examples[each.name]) for each in variables), RowShown()]


def _row_shown(variable: Variable, example: Any) -> RowShown:
    nested = {"fields": variable.fields, "items": variable.items, "extra": variable.extra}
    inside = variable.fields or (variable.items.fields if variable.items else [])
    return RowShown(
        name=variable.name,
        type=variable.type,
        required=variable.required,
        example="" if variable.example is None else _text(variable.example),
        placeholder=_text(example),
        description=variable.description,
        inner=msgspec.json.encode(nested).decode() if variable.type in ("object", "list") else "",
        contains=", ".join(each.name for each in inside),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
