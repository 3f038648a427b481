"""Settings structs as forms."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct

from portal.errors import InvalidInput
from portal.providers.form import MASK, form_of, masked, read, secret_names, split
from portal.sdk import Provider, secret


class Everything(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    token: Annotated[str, secret("Access token", "Keep it.", min_length=4)]
    host: Annotated[str, Meta(title="Host", pattern="^[a-z.]+$")]
    port: Annotated[int, Meta(title="Port", ge=1, le=65535)] = 25
    share: float = 0.5
    fast: bool = False
    mode: Literal["one", "two"] = "one"
    names: list[str] = []
    note: str | None = None
    extra: dict[str, int] = {}

    def __post_init__(self) -> None:
        if self.mode == "two" and self.port == 25:
            raise ValueError("port: not 25 in the mode two")
        if self.fast and self.share > 0.9:
            raise ValueError("Fast and greedy together is too much.")


class Acme(Provider):
    name, title, channel, settings_type = "acme", "Acme", "sms", Everything


GOOD = {"token": "abcd", "host": "mail.example"}


def test_every_field_becomes_a_form_field() -> None:
    fields = {field.name: field for field in form_of(Everything)}
    assert list(fields) == list(Everything.__struct_fields__)
    assert {name: field.type for name, field in fields.items()} == {
        "token": "text",
        "host": "text",
        "port": "integer",
        "share": "number",
        "fast": "boolean",
        "mode": "choice",
        "names": "list",
        "note": "text",
        "extra": "json",
    }
    token, port = fields["token"], fields["port"]
    assert (token.secret, token.required, token.title, token.min_length) == (True, True, "Access token", 4)
    assert (port.minimum, port.maximum, port.default, port.required) == (1, 65535, 25, False)
    assert fields["mode"].choices == ["one", "two"]
    assert fields["share"].title == "Share"


def test_a_form_of_texts_is_read_as_well_as_json() -> None:
    texts = {**GOOD, "port": "587", "share": "0.25", "fast": "true"}
    settings = read(Everything, texts, strict=False)
    assert (settings.port, settings.share, settings.fast) == (587, 0.25, True)  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput):
        read(Everything, texts)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as wrong:
        read(Everything, {"host": "UPPER", "port": 0, "mode": "three", "hots": 1})
    assert set(wrong.value.fields) == {f"settings.{name}" for name in ("token", "host", "port", "mode", "hots")}


def test_what_the_struct_refuses_is_said_at_its_field() -> None:
    with pytest.raises(InvalidInput) as wrong:
        read(Everything, {**GOOD, "mode": "two"})
    assert wrong.value.fields == {"settings.port": "not 25 in the mode two"}
    with pytest.raises(InvalidInput) as wrong:
        read(Everything, {**GOOD, "fast": True, "share": 1.0})
    assert wrong.value.fields == {"settings": "Fast and greedy together is too much."}


def test_secrets_are_split_off_and_masked() -> None:
    plain, secrets = split(read(Everything, GOOD))
    assert secrets == {"token": "abcd"}
    assert "token" not in plain
    assert secret_names(Everything) == {"token"}
    assert masked(Acme, plain, frozenset(secrets))["token"] == MASK
    assert masked(Acme, plain, frozenset())["token"] == ""
