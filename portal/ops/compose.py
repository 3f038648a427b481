"""A notification from the flags of `portal send`, or from a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from portal.errors import InvalidInput


def compose(
    *,
    template: str | None,
    to: str | None,
    data: Sequence[str],
    priority: str | None,
    reference: str | None,
    file: Path | None,
) -> dict[str, Any]:
    """The request's body; raises `InvalidInput` naming the flag."""
    body = _from_file(file) if file is not None else {}
    if template:
        body["template"] = template
    if to:
        body["to"] = _recipient(to)
    if data:
        body["data"] = {**body.get("data", {}), **dict(_pair(item) for item in data)}
    body.update({name: value for name, value in (("priority", priority), ("reference", reference)) if value})
    missing = {f"--{name}": "is required (or give --file)" for name in ("template", "to") if name not in body}
    if missing:
        raise InvalidInput(missing)
    return body


def _from_file(file: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return msgspec.json.decode(text, type=dict[str, Any])
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidInput({"--file": f"expected a JSON object: {error}"}) from None


def _recipient(to: str) -> dict[str, Any]:
    kind, _, rest = to.partition(":")
    if not rest:
        raise InvalidInput({"--to": "expected channel:address, person:ID or external:SOURCE:ID"})
    if kind == "person":
        return {"person_id": rest}
    if kind == "external":
        source, _, identity = rest.partition(":")
        return {"external_id": {"source": source, "id": identity}}
    return {"channel": kind, "address": rest}


def _pair(item: str) -> tuple[str, Any]:
    name, equals, value = item.partition("=")
    if not equals:
        raise InvalidInput({"--data": f"expected name=value, got {item!r}"})
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value
