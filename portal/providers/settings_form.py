"""A provider's settings from the fields of its form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct

from portal.providers.form import MASK
from portal.web.forms import Field, fields_of

PREFIX = "settings."


def settings_fields(
    settings_type: type[Struct], values: Mapping[str, Any], errors: Mapping[str, str] | None = None
) -> list[Field]:
    """The controls of a settings struct; a secret that is set is said to be stored and not shown."""
    stored = {name for name, value in values.items() if value == MASK}
    wrong = {name.removeprefix(PREFIX): text for name, text in (errors or {}).items()}
    return fields_of(settings_type, values, errors=wrong, secrets=stored, prefix=PREFIX)


def typed_settings(settings_type: type[Struct], form: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed, for `create_account` and `update_account` with `strict=False`.

    An emptied control means its default; an empty secret is left out, which keeps a stored one.
    """
    kinds = {field.name.removeprefix(PREFIX): field.kind for field in settings_fields(settings_type, {})}
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(settings_type):
        kind, given = kinds[field.encode_name], form.get(PREFIX + field.encode_name)
        if kind == "checkbox":
            found[field.encode_name] = given is not None
        elif kind == "checks":
            found[field.encode_name] = [each for each in (given if isinstance(given, list) else [given]) if each]
        elif given is None or not str(given).strip():
            if kind != "secret":
                found[field.encode_name] = _default(field)
        else:
            found[field.encode_name] = _value(kind, str(given))
    return found


def _value(kind: str, text: str) -> Any:
    if kind == "list":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if kind == "json":
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    return text if kind in ("secret", "textarea") else text.strip()


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not NODEFAULT:
        return field.default
    return field.default_factory() if field.default_factory is not NODEFAULT else ""
