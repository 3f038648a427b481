"""The form that a template's contract makes, and the request that a filled one makes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from portal.errors import InvalidInput
from portal.message_templates.contract import Contract, Variable
from portal.notifications.schemas import ExternalId, NotificationIn, To
from portal.web.forms import Field, read_datetime

KINDS = {"integer": "number", "number": "number", "boolean": "checkbox", "date": "date", "datetime": "datetime", "url": "url", "list": "json", "object": "json"}  # fmt: skip
PREFIX = "data."


def data_fields(
    contract: Contract, typed: Mapping[str, Any], errors: Mapping[str, str], *, examples: bool
) -> list[Field]:
    """A control per variable, with what was typed, else the example where it is asked for.

    What is wrong inside a list or an object is shown at its control.
    """
    shown = contract.example()
    return [_field(each, shown[each.name], typed, errors, examples) for each in contract.variables]


def read_data(contract: Contract, form: Mapping[str, Any]) -> dict[str, Any]:
    """The data as they were typed; what does not fit its type is left for the contract to say."""
    found: dict[str, Any] = {}
    for variable in contract.variables:
        given = form.get(PREFIX + variable.name)
        text = given if isinstance(given, str) else ""
        if variable.type == "boolean":
            found[variable.name] = given is not None
        elif text.strip():
            found[variable.name] = _value(variable.type, text.replace("\r\n", "\n"))
    return found


def request_of(template: str, contract: Contract, form: Mapping[str, Any]) -> NotificationIn:
    """The request; raises `InvalidInput` for what cannot even be put into one."""
    problems: dict[str, str] = {}
    send_at = None
    if text := str(form.get("send_at", "")).strip():
        try:
            send_at = read_datetime(text)
        except ValueError as error:
            problems["send_at"] = str(error)
    to = _recipient(form, problems)
    if problems:
        raise InvalidInput(problems)
    priority: Any = form.get("priority") if form.get("priority") in ("high", "medium", "low") else None
    return NotificationIn(
        template=template,
        to=to,
        data=read_data(contract, form),
        priority=priority,
        send_at=send_at,
        locale=str(form.get("locale", "")).strip() or None,
        reference=str(form.get("reference", "")).strip()[:200] or None,
    )


def _recipient(form: Mapping[str, Any], problems: dict[str, str]) -> To:
    kind = form.get("to")
    if kind == "person":
        try:
            return To(person_id=UUID(str(form.get("person_id", ""))))
        except ValueError:
            problems["person"] = "search for a person and choose one"
    elif kind == "external":
        source, value = str(form.get("source", "")).strip(), str(form.get("external_id", "")).strip()
        if source and value:
            return To(external_id=ExternalId(source[:100], value[:200]))
        problems["external_id"] = "both the system and the id in it are needed"
    else:
        channel, address = str(form.get("channel", "")), str(form.get("address", "")).strip()
        if channel and address:
            return To(channel=channel, address=address[:500])
        problems["to.address"] = "expected an address"
    return To()


def _field(
    variable: Variable, example: Any, typed: Mapping[str, Any], errors: Mapping[str, str], filled: bool
) -> Field:
    name = PREFIX + variable.name
    kind = KINDS.get(variable.type, "text")
    value = typed.get(name, _shown(kind, example) if filled else ("" if kind != "checkbox" else False))
    wrong = [
        text if path == name else f"{path.removeprefix(name)}: {text}"
        for path, text in errors.items()
        if path == name or path.startswith((f"{name}.", f"{name}["))
    ]
    return Field(
        name=name,
        label=variable.name,
        kind=kind,
        value=bool(value) if kind == "checkbox" else value,
        help=variable.description,
        error="; ".join(wrong),
        required=variable.required and kind != "checkbox",
        placeholder="" if kind in ("checkbox", "date", "datetime") else _shown(kind, example),
        attributes={"step": "any" if variable.type == "number" else "1"} if kind == "number" else {},
    )


def _shown(kind: str, example: Any) -> Any:
    if kind == "checkbox":
        return bool(example)
    if kind == "json":
        return json.dumps(example, indent=2, ensure_ascii=False)
    if kind == "datetime":
        return str(example)[:16]
    return example if isinstance(example, str) else json.dumps(example)


def _value(kind: str, text: str) -> Any:
    if kind in ("integer", "number", "list", "object"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    if kind == "datetime" and len(text.strip()) == 16:
        return f"{text.strip()}:00Z"
    return text
