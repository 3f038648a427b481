"""What a channel adapter declares: the form of its addresses, its parts, its limits."""

import json
from collections.abc import Mapping
from typing import ClassVar, Literal

from msgspec import Struct

PartKind = Literal["text", "html", "markdown", "json"]


class Part(Struct, frozen=True, kw_only=True):
    """One part of a message.

    `max_length` counts characters after rendering. `single_line` refuses line breaks and NUL (a subject, a header).
    """

    kind: PartKind = "text"
    title: str = ""
    description: str = ""
    required: bool = True
    max_length: int | None = None
    single_line: bool = False


class Measure(Struct, frozen=True, kw_only=True):
    """How large a message is in the unit that the channel is paid or limited by.

    `amount` of `unit` ("segment", "byte", "character"); `limit` is the most that one message may have, or None.
    `detail` is a few words for the person who writes the template ("GSM-7, 12 of 153 characters in the last segment").
    """

    unit: str
    amount: int
    limit: int | None = None
    detail: str = ""


class ChannelAdapter:
    """Derive one class for each kind of contact. The instance is shared, has no state, and does no I/O.

    `address_title` and `address_example` label the form field. `needs` names what must be known of a recipient
    beyond the address (keys of its device facts). `preview` says how the portal shows a message: as a mail with its
    headers, as text in a bubble, as plain text, or as JSON.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    parts: ClassVar[Mapping[str, Part]]
    address_title: ClassVar[str] = "Address"
    address_example: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    preview: ClassVar[Literal["mail", "bubble", "text", "json"]] = "text"

    def normalise(self, address: str) -> str:
        """The one form in which this address is stored and compared. Idempotent, fast, without I/O.

        Raises ValueError with a sentence that says what was expected; the sentence is shown to the caller.
        """
        raise NotImplementedError

    def mask(self, address: str) -> str:
        """The address as it may be shown in lists and logs: recognisable to its owner, of no use to others."""
        visible = 2 if len(address) > 6 else 0
        return address[:visible] + "•••" + address[len(address) - visible :]

    def validate(self, parts: Mapping[str, str]) -> dict[str, str]:
        """Part name → what was expected, for everything wrong with these parts; empty when they may be sent.

        Override to add a check, and begin with `problems = super().validate(parts)`.
        """
        problems: dict[str, str] = {}
        for name, part in self.parts.items():
            text = parts.get(name)
            if text is None or not text.strip():
                if part.required:
                    problems[name] = f"The channel {self.name} needs the part {name}."
            elif (problem := _problem(part, text)) is not None:
                problems[name] = problem
        for name in parts.keys() - self.parts.keys():
            problems[name] = f"The channel {self.name} has no part {name}; it has {', '.join(self.parts)}."
        return problems

    def measure(self, parts: Mapping[str, str]) -> Measure:
        """The size of the message in the channel's own unit; without an override, characters of all parts."""
        return Measure(unit="character", amount=sum(len(text) for text in parts.values()))


def _problem(part: Part, text: str) -> str | None:
    if part.max_length is not None and len(text) > part.max_length:
        return f"At most {part.max_length} characters; this has {len(text)}."
    if part.single_line and any(mark in text for mark in "\r\n\0"):
        return "One line, without line breaks."
    if part.kind == "json":
        try:
            json.loads(text)
        except ValueError:
            return "Valid JSON."
    return None
