"""Rendering a version: the parts, what cannot be a message, and where it went wrong."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from portal.message_templates.build import PartKind
from portal.message_templates.contract import Checker, Contract
from portal.message_templates.render import Content, Renderer, RenderFailed, VersionEntry

KINDS = {
    "email": {"subject": PartKind(single_line=True, required=True, max_length=40), "html": PartKind("html")},
    "webhook": {"body": PartKind("json")},
}


def version(parts: dict[str, str], channel: str = "email") -> VersionEntry:
    return VersionEntry(
        id=UUID(int=1),
        template_id=UUID(int=2),
        key="t",
        n=1,
        contract=Checker(Contract()),
        channels=frozenset({channel}),
        default_locale="en",
        content=Content({channel: {"en": parts}}, KINDS, "en"),
    )


def render(parts: dict[str, str], data: dict[str, Any], channel: str = "email") -> dict[str, str]:
    return Renderer().render(version(parts, channel), channel, None, data)


def test_a_single_line_stays_one_line_whatever_the_data_hold() -> None:
    made = render({"subject": "Hi {{ name }}\n", "html": "{{ name }}"}, {"name": "Ada\r\nBcc: x@y.example\0\u2028!"})
    assert made["subject"] == "Hi Ada Bcc: x@y.example !"


@pytest.mark.parametrize(
    ("channel", "parts", "data", "words"),
    [
        (
            "email",
            {"subject": "{{ name }}"},
            {"name": "x" * 41},
            "subject, line 1: This makes 41 characters; the part takes 40.",
        ),
        ("email", {"subject": "{{ name }}"}, {"name": " "}, "empty text"),
        ("email", {"subject": "Hi", "html": "a\n\n{{ gone }}"}, {}, "html, line 3: 'gone' is undefined"),
        ("webhook", {"body": '{"n": {{ n }}}'}, {"n": "x"}, "no valid JSON"),
        ("sms", {"text": "x"}, {}, "no content for the channel push"),
    ],
)
def test_what_cannot_be_a_message_fails_with_part_and_line(
    channel: str, parts: dict[str, str], data: dict[str, Any], words: str
) -> None:
    asked = "push" if channel == "sms" else channel
    with pytest.raises(RenderFailed) as failed:
        Renderer().render(version(parts, channel), asked, None, data)
    assert words in failed.value.message
    assert failed.value.code == "render_failed"


def test_json_is_valid_whatever_the_data_hold() -> None:
    made = render({"body": '{"t": "{{ t }}", "l": {{ l|tojson }}}'}, {"t": '"}\\\n', "l": ['"', None]}, "webhook")
    assert made["body"] == '{"t": "\\"}\\\\\\n", "l": ["\\"", null]}'


def test_a_version_is_compiled_once() -> None:
    one = version({"subject": "Hi"})
    assert one.content.programs("email", "en") is one.content.programs("email", "en")
