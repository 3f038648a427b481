"""Structs ↔ forms: one declaration draws the fields, reads them back and says what is wrong with them.

`fields_of(AcmeSettings, values, secrets={"token"})` gives the fields for the macro `forms.fields`; `read(AcmeSettings,
form, keep=…)` gives the struct back or raises `InvalidInput` with a message per field. A field's look comes from its
type and its `Meta`: `title`, `description`, and in `extra_json_schema` the marks `secret`, `multiline`, `placeholder`
and `options` (value → label).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, Struct, inspect

from portal.errors import InvalidInput

S = TypeVar("S", bound=Struct)
# What a stored secret looks like in a form: nothing of it leaves the server.
KEPT = "stored, leave empty to keep"


class Field(Struct, kw_only=True):
    """One control. `kind`: text, email, url, password, secret, number, textarea, list, json, select, checks, checkbox,
    datetime, hidden. `options` are (value, label) or (value, label, note); `value` is text, a bool for checkbox, a list for checks."""

    name: str
    label: str
    kind: str = "text"
    value: Any = ""
    help: str = ""
    error: str = ""
    required: bool = False
    placeholder: str = ""
    options: Sequence[tuple[str, ...]] = ()
    attributes: dict[str, str] = {}


def fields_of(
    struct: type[Struct],
    values: Mapping[str, Any] | None = None,
    *,
    errors: Mapping[str, str] | None = None,
    secrets: Iterable[str] = (),
    prefix: str = "",
) -> list[Field]:
    """A field for each of the struct's, filled from `values` (else its default) and marked with `errors`.

    `secrets` names the secret fields that have a stored value; the value itself must not be passed.
    """
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    given, wrong, stored = values or {}, errors or {}, set(secrets)
    return [_field(field, given, wrong, stored, prefix) for field in info.fields]


def secret_fields(struct: type[Struct]) -> set[str]:
    """The names of the fields marked `secret`."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return {field.name for field in info.fields if _unwrap(field.type)[1].get("secret")}


def read(struct: type[S], form: Mapping[str, Any], *, keep: Mapping[str, Any] | None = None, prefix: str = "") -> S:
    """The struct that the form describes; raises `InvalidInput` that names every wrong field.

    `form` maps names to text, or to lists for fields with several values; `keep` holds stored secrets, which stay when
    their field was left empty.
    """
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    hints = get_type_hints(struct, include_extras=True)
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for field in info.fields:
        try:
            raw = _raw(field, form, prefix)
            if raw is UNSET and field.name in (keep or {}):
                values[field.name] = (keep or {})[field.name]
            elif raw is not UNSET:
                values[field.name] = msgspec.convert(raw, hints[field.name], strict=False)
            elif field.required:
                wrong[field.name] = "expected a value"
        except (msgspec.ValidationError, ValueError) as error:
            wrong[field.name] = plain_message(str(error))
    if wrong:
        raise InvalidInput(wrong)
    try:
        return msgspec.convert(values, struct)
    except msgspec.ValidationError as error:
        raise InvalidInput({"": plain_message(str(error))}) from None


def many(form: Any) -> dict[str, Any]:
    """A submitted form as a plain dict: one text per name, or a list where a name came several times.

    Raises `InvalidInput` for a NUL, which not every database can store, and for a file where a text belongs.
    """
    found: dict[str, Any] = {}
    for name in form:
        values = form.getall(name) if hasattr(form, "getall") else [form[name]]
        if not all(isinstance(value, str) and "\0" not in value for value in values):
            raise InvalidInput({name: "expected text without the character NUL"})
        found[name] = values[0] if len(values) == 1 else list(values)
    return found


# msgspec's sentences in words of people; the first group is the limit.
_WORDS = (
    (r"expected `str` of length <= (\d+)", r"expected at most \1 characters"),
    (r"expected `str` of length >= (\d+)", r"expected at least \1 characters"),
    (r"expected `(?:array|list)` of length <= (\d+)", r"expected at most \1 entries"),
    (r"expected `(?:array|list)` of length >= (\d+)", r"expected at least \1 entries"),
    (r"expected `(?:int|float)` >= (\S+)", r"expected a number of at least \1"),
    (r"expected `(?:int|float)` <= (\S+)", r"expected a number of at most \1"),
    (r"expected `(?:int|float)` > (\S+)", r"expected a number above \1"),
    (r"expected `(?:int|float)` < (\S+)", r"expected a number below \1"),
    (r"expected `int.*", "expected a whole number"),
    (r"expected `float.*", "expected a number"),
    (r"invalid enum value .*", "expected one of the choices"),
)


def plain_message(message: str) -> str:
    """What was expected, in words of people: msgspec's own without its path and its types."""
    text = message.split(" - at `", maxsplit=1)[0]
    text = text[:1].lower() + text[1:]
    for pattern, words in _WORDS:
        if re.match(pattern, text):
            return re.sub(pattern, words, text)
    return text


def _field(
    field: inspect.Field, values: Mapping[str, Any], errors: Mapping[str, str], stored: set[str], prefix: str
) -> Field:
    core, extra, title, description = _described(field.type)
    optional = isinstance(field.type, inspect.UnionType) and _allows_none(field.type)
    kind = _kind(core, extra)
    value = values.get(field.name, _default(field))
    return Field(
        name=prefix + field.name,
        label=title or field.name.replace("_", " ").capitalize(),
        kind=kind,
        value="" if kind == "secret" else _shown(kind, value),
        help=description,
        error=errors.get(field.name, ""),
        required=field.required and not optional and kind != "checkbox" and field.name not in stored,
        placeholder=KEPT if field.name in stored else str(extra.get("placeholder", "")),
        options=_options(core, extra, optional),
        attributes=_attributes(core),
    )


def _described(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any], str, str]:
    """The type under its metadata, what the plugin added, the title and the description."""
    core, extra = _unwrap(kind)
    return core, extra, str(extra.pop("title", "")), str(extra.pop("description", ""))


def _unwrap(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    extra: dict[str, Any] = {}
    while True:
        if isinstance(kind, inspect.Metadata):
            extra = {**(kind.extra_json_schema or {}), **extra}
            kind = kind.type
        elif isinstance(kind, inspect.UnionType) and _allows_none(kind) and len(kind.types) == 2:
            kind = next(part for part in kind.types if not isinstance(part, inspect.NoneType))
        else:
            return kind, extra


def _allows_none(kind: inspect.UnionType) -> bool:
    return any(isinstance(part, inspect.NoneType) for part in kind.types)


def _kind(core: inspect.Type, extra: Mapping[str, Any]) -> str:
    if extra.get("secret"):
        return "secret"
    if isinstance(core, (inspect.LiteralType, inspect.EnumType)) or extra.get("options"):
        return "select"
    if isinstance(core, (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)):
        return "checks" if isinstance(_unwrap(core.item_type)[0], inspect.LiteralType) else "list"
    if isinstance(core, inspect.StrType):
        return "textarea" if extra.get("multiline") else str(extra.get("format", "text"))
    kinds: dict[type[inspect.Type], str] = {
        inspect.BoolType: "checkbox",
        inspect.IntType: "number",
        inspect.FloatType: "number",
        inspect.DateTimeType: "datetime",
        inspect.UUIDType: "text",
    }
    return kinds.get(type(core), "json")


def _default(field: inspect.Field) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None


def _shown(kind: str, value: Any) -> Any:
    """A value as its control wants it."""
    if kind == "checkbox":
        return bool(value)
    if kind == "checks":
        return [str(item) for item in value or ()]
    if value is None or value is UNSET:
        return ""
    if kind == "list":
        return value if isinstance(value, str) else "\n".join(str(item) for item in value)
    if kind == "json":
        return value if isinstance(value, str) else json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")
    return str(getattr(value, "value", value))


def _options(core: inspect.Type, extra: Mapping[str, Any], optional: bool) -> list[tuple[str, str]]:
    blank = [("", "–")] if optional else []
    if extra.get("options"):
        return [*blank, *((str(value), str(label)) for value, label in dict(extra["options"]).items())]
    if isinstance(core, (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)):
        core, blank = _unwrap(core.item_type)[0], []
    if isinstance(core, inspect.LiteralType):
        return [*blank, *((str(value), str(value).replace("_", " ")) for value in core.values)]
    if isinstance(core, inspect.EnumType):
        return [*blank, *((str(member.value), str(member.name).replace("_", " ").lower()) for member in core.cls)]
    return []


def _attributes(core: inspect.Type) -> dict[str, str]:
    """HTML attributes that let the browser check what the server will check again."""
    found: dict[str, Any] = {}
    if isinstance(core, (inspect.IntType, inspect.FloatType)):
        # The server checks exclusive bounds; the browser knows inclusive ones only.
        found = {"min": core.ge if core.ge is not None else core.gt, "max": core.le if core.le is not None else core.lt}
        found["step"] = "1" if isinstance(core, inspect.IntType) else "any"
    if isinstance(core, inspect.StrType):
        found = {"minlength": core.min_length or None, "maxlength": core.max_length}
    return {name: str(value) for name, value in found.items() if value is not None}


def _raw(field: inspect.Field, form: Mapping[str, Any], prefix: str) -> Any:
    """What was typed, in the shape msgspec converts from; UNSET for an empty control."""
    core, extra = _unwrap(field.type)
    kind = _kind(core, extra)
    given = form.get(prefix + field.name)
    if kind == "checkbox":
        return given not in (None, "", "false", "off", "0")
    if kind == "checks":
        return [item for item in (given if isinstance(given, list) else [given]) if item]
    text = given[-1] if isinstance(given, list) and given else given
    if not isinstance(text, str) or not text.strip():
        return "" if kind in ("text", "textarea") and not field.required and field.default == "" else UNSET
    if kind == "list":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if kind == "json":
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError("expected JSON") from None
    if kind == "datetime":
        return read_datetime(text)
    return text if kind in ("secret", "textarea") else text.strip()


def read_datetime(text: str, zone: str = "UTC") -> datetime:
    """The instant of a `datetime-local` control, whose text has no zone; raises `ValueError`."""
    try:
        value = datetime.fromisoformat(text)
        return value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError):
        raise ValueError("expected a date and time like 2026-01-31T09:30") from None


def with_errors(fields: Sequence[Field], errors: Mapping[str, str], values: Mapping[str, Any]) -> list[Field]:
    """Fields made by hand, with what was typed and what is wrong with it; a secret is never given back."""
    return [
        msgspec.structs.replace(
            field,
            value=field.value if field.kind in ("secret", "password") else values.get(field.name, field.value),
            error=errors.get(field.name, ""),
        )
        for field in fields
    ]
