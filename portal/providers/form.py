"""A provider's settings struct as a form: its fields, its checks, its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct

from portal.errors import InvalidInput
from portal.sdk import Provider

MASK = "••••••••"
"""Stands for a secret that is set: it is shown instead, and taken back to mean "unchanged"."""

KINDS = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean", "array": "list"}


class FormField(Struct, frozen=True, kw_only=True):
    """One field. `type` is text, integer, number, boolean, choice, list (of texts) or json."""

    name: str
    title: str
    type: str
    description: str = ""
    secret: bool = False
    required: bool = False
    default: Any = None
    choices: list[Any] = []
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


def form_of(settings_type: type[Struct]) -> list[FormField]:
    """The fields of a settings struct, in its order."""
    schema = msgspec.json.schema(settings_type)
    declared = schema["$defs"][settings_type.__name__] if "$defs" in schema else schema
    required = declared.get("required", [])
    return [_field(name, spec, name in required) for name, spec in declared.get("properties", {}).items()]


def _field(name: str, spec: Mapping[str, Any], required: bool) -> FormField:
    # `str | None` and the like: what is not null decides the form.
    options = [option for option in spec.get("anyOf", []) if option.get("type") != "null"]
    core = {**spec, **(options[0] if len(options) == 1 else {})}
    return FormField(
        name=name,
        title=spec.get("title") or name.replace("_", " ").capitalize(),
        type="choice" if "enum" in core else KINDS.get(core.get("type", ""), "json"),
        description=spec.get("description", ""),
        secret=bool(spec.get("secret") or core.get("secret")),
        required=required,
        default=spec.get("default"),
        choices=list(core.get("enum", [])),
        minimum=core.get("minimum", core.get("exclusiveMinimum")),
        maximum=core.get("maximum", core.get("exclusiveMaximum")),
        min_length=core.get("minLength"),
        max_length=core.get("maxLength"),
        pattern=core.get("pattern"),
    )


def secret_names(settings_type: type[Struct]) -> frozenset[str]:
    """The names of the fields that are sealed."""
    return frozenset(field.name for field in form_of(settings_type) if field.secret)


def read(settings_type: type[Struct], values: Mapping[str, Any], *, strict: bool = True) -> Struct:
    """The settings that these values make; raises InvalidInput with every wrong field as `settings.<name>`.

    `strict=False` also takes the texts of a form for numbers and booleans. What the struct's own `__post_init__`
    refuses is reported for the whole, or for one field when its sentence begins with `<field>: `.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(settings_type)}
    wrong = {f"settings.{name}": f"no such setting; there are {', '.join(fields)}" for name in values.keys() - fields}
    for name, field in fields.items():
        if name in values:
            try:
                msgspec.convert(values[name], field.type, strict=strict)
            except msgspec.ValidationError as error:
                wrong[f"settings.{name}"] = _sentence(error)
        elif field.default is NODEFAULT and field.default_factory is NODEFAULT:
            wrong[f"settings.{name}"] = "required"
    if wrong:
        raise InvalidInput(wrong)
    try:
        settings: Struct = msgspec.convert(dict(values), settings_type, strict=strict)
    except msgspec.ValidationError as error:
        name, _, rest = _sentence(error).partition(": ")
        field_path, sentence = (f"settings.{name}", rest) if name in fields else ("settings", _sentence(error))
        raise InvalidInput({field_path: sentence}) from None
    return settings


def _sentence(error: msgspec.ValidationError) -> str:
    return str(error).partition(" - at `$")[0].replace("`", "")


def masked(provider: type[Provider], settings: Mapping[str, Any], has_secret: frozenset[str]) -> dict[str, Any]:
    """The settings as they may be shown: MASK for a secret that is set, an empty text for one that is not."""
    shown = dict(settings)
    for name in secret_names(provider.settings_type):
        shown[name] = MASK if name in has_secret else ""
    return shown


def split(settings: Struct) -> tuple[dict[str, Any], dict[str, Any]]:
    """What may be stored in the clear, and what must be sealed (fields at their default are left out of the latter)."""
    names = secret_names(type(settings))
    values: dict[str, Any] = msgspec.to_builtins(settings)
    secrets = {name: values[name] for name in names if values.get(name) not in (None, "")}
    return {name: value for name, value in values.items() if name not in names}, secrets
