"""Structs to forms and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct

from portal.errors import InvalidInput
from portal.web.forms import KEPT, Field, fields_of, many, read, secret_fields, with_errors


class Account(Struct, frozen=True, kw_only=True):
    """An account as a plugin would declare it."""

    token: Annotated[str, Meta(title="Access token", extra_json_schema={"secret": True})]
    sender: Annotated[str, Meta(title="Sender", max_length=11, description="What people see.")] = "ACME"
    tls: Literal["none", "starttls"] = "starttls"
    port: Annotated[int, Meta(ge=1, le=65535)] = 25
    ratio: float = 0.5
    hosts: list[str] = []
    verify: bool = True
    reply_to: str | None = None
    headers: dict[str, str] = {}
    channels: list[Literal["sms", "email"]] = []
    since: datetime | None = None
    text: Annotated[str, Meta(extra_json_schema={"multiline": True})] = ""


FIELDS = {field.name: field for field in fields_of(Account, {"port": 26}, secrets=["token"])}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("token", "secret"), ("sender", "text"), ("tls", "select"), ("port", "number"), ("ratio", "number"),
        ("hosts", "list"), ("verify", "checkbox"), ("reply_to", "text"), ("headers", "json"), ("channels", "checks"),
        ("since", "datetime"), ("text", "textarea"),
    ],
)  # fmt: skip
def test_the_type_chooses_the_control(name: str, kind: str) -> None:
    assert FIELDS[name].kind == kind


def test_a_field_says_what_its_declaration_says() -> None:
    sender = FIELDS["sender"]
    assert (sender.label, sender.help, sender.attributes) == ("Sender", "What people see.", {"maxlength": "11"})
    assert FIELDS["port"].attributes == {"min": "1", "max": "65535", "step": "1"}
    assert FIELDS["port"].value == "26"
    assert FIELDS["tls"].options == [("none", "none"), ("starttls", "starttls")]


def test_a_stored_secret_is_not_in_the_form_and_need_not_be_typed_again() -> None:
    assert secret_fields(Account) == {"token"}
    token = fields_of(Account, {"token": "leaked?"}, secrets=["token"])[0]
    assert (token.value, token.placeholder, token.required) == ("", KEPT, False)
    assert fields_of(Account)[0].required
    assert read(Account, {"token": ""}, keep={"token": "stored"}).token == "stored"
    assert read(Account, {"token": "new"}, keep={"token": "stored"}).token == "new"


def test_what_was_typed_becomes_the_struct() -> None:
    typed = {
        "token": " with spaces ", "sender": " X ", "tls": "none", "port": "99", "ratio": "0.25", "hosts": "a\r\n\r\n b \n",
        "reply_to": "me", "headers": '{"a": "b"}', "channels": ["sms", "email"], "since": "2026-01-31T09:30", "text": "a\nb ",
    }  # fmt: skip
    assert read(Account, typed) == Account(
        token=" with spaces ", sender="X", tls="none", port=99, ratio=0.25, hosts=["a", "b"], verify=False, reply_to="me",
        headers={"a": "b"}, channels=["sms", "email"], since=datetime(2026, 1, 31, 9, 30, tzinfo=UTC), text="a\nb ",
    )  # fmt: skip


def test_empty_controls_mean_the_default_and_an_absent_checkbox_means_no() -> None:
    got = read(Account, {"token": "t", "sender": "", "port": " ", "reply_to": "", "verify": "true"})
    assert got == Account(token="t")
    assert not read(Account, {"token": "t"}).verify


def test_every_wrong_field_is_named_at_once() -> None:
    typed = {"sender": "x" * 12, "port": "0", "ratio": "much", "headers": "{", "tls": "maybe", "since": "soon"}
    with pytest.raises(InvalidInput) as caught:
        read(Account, typed)
    assert set(caught.value.fields) == {"token", "sender", "port", "ratio", "headers", "tls", "since"}
    assert caught.value.fields["sender"] == "expected at most 11 characters"
    assert caught.value.fields["port"] == "expected a number of at least 1"


def test_a_prefix_keeps_two_forms_apart() -> None:
    assert fields_of(Account, prefix="a.")[0].name == "a.token"
    assert read(Account, {"a.token": "t", "token": "other"}, prefix="a.").token == "t"


def test_with_errors_gives_back_what_was_typed_but_no_secret() -> None:
    fields = [
        Field(name="a", label="A"),
        Field(name="p", label="P", kind="password"),
        Field(name="s", label="S", kind="secret"),
    ]
    drawn = with_errors(fields, {"a": "expected less"}, {"a": "typed", "p": "typed", "s": "typed"})
    assert [(f.value, f.error) for f in drawn] == [("typed", "expected less"), ("", ""), ("", "")]


def test_a_form_with_repeated_names_gives_lists() -> None:
    assert many({"a": "1", "b": "2"}) == {"a": "1", "b": "2"}
