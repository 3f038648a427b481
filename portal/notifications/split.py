"""Splitting a long body into its JSON items while it arrives, holding no more than one of them."""

from __future__ import annotations

import re
from typing import Protocol

import msgspec

from portal.errors import InvalidInput, TooLarge

BOM = b"\xef\xbb\xbf"

_BLANK = re.compile(rb"[ \t\r\n]*")
_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)|[{}\[\]]', re.DOTALL)
_SCALAR = re.compile(rb'[^ \t\r\n,\[\]{}"]+')
# From this many bytes on it is worth asking the JSON decoder for many items at once.
MANY = 1_000
GUESSES = 4
_BETWEEN = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\{\Z")
_values = msgspec.json.Decoder(list[msgspec.Raw])

Item = tuple[int, bytes]


class Splitter(Protocol):
    """Takes the body piece by piece and gives its items as (line, JSON); lines count from 1."""

    def feed(self, piece: bytes) -> list[Item]:
        """The items that are complete with this piece; raises `InvalidInput` or `TooLarge`."""

    def end(self) -> list[Item]:
        """What the end completes; raises `InvalidInput` when the body is not whole."""


class Lines:
    """One item per line (NDJSON); empty lines are passed over."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = bytearray()
        self._line = 0

    def feed(self, piece: bytes) -> list[Item]:
        """The items that are complete with this piece."""
        self._rest += piece
        if b"\n" not in piece:
            _check_length(len(self._rest), self._longest, self._line + 1)
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        return self._items(lines)

    def end(self) -> list[Item]:
        """The last line, which needs no line break."""
        return self._items([bytes(self._rest)])

    def _items(self, lines: list[bytes]) -> list[Item]:
        found = []
        for line in lines:
            self._line += 1
            text = line.strip(b" \t\r")
            if self._line == 1:
                text = text.removeprefix(BOM)
            if text:
                _check_length(len(text), self._longest, self._line)
                found.append((self._line, text))
        return found


class Array:
    """The items of one JSON array. What is inside an item is not looked at beyond its brackets and texts."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self._at = 0
        self._line = 1
        self._enough = 0
        # What comes next: `[`, an item or `]`, an item, a comma or `]`, nothing.
        self._expect = "start"

    def feed(self, piece: bytes) -> list[Item]:
        """The items that are complete with this piece."""
        self._buffer += piece
        if len(self._buffer) < self._enough:
            return []
        found = self._found()
        del self._buffer[: self._at]
        self._at = 0
        _check_length(len(self._buffer), self._longest, self._line)
        # An unfinished item is looked at again only when there is twice as much: tiny pieces must not cost a scan each.
        self._enough = min(2 * len(self._buffer), self._longest + 1)
        return found

    def end(self) -> list[Item]:
        """The items that were not looked at yet; the array must be closed."""
        found = self._found()
        if self._expect != "nothing":
            raise InvalidInput({"body": "expected a whole JSON array; it ends in the middle"}, code="invalid_json")
        return found

    def _found(self) -> list[Item]:
        found = []
        if (item := self._next()) is not None:
            found.append(item)
            found += self._many()
        while (item := self._next()) is not None:
            found.append(item)
        return found

    def _many(self) -> list[Item]:
        """Many items at once by the JSON decoder, when it finds an end of an item towards the end of the buffer."""
        comma = self._buffer.find(b",", self._at)
        if self._expect != "comma" or comma < 0 or self._buffer[self._at : comma].strip():
            return []
        upto = len(self._buffer)
        for _ in range(GUESSES):
            brace = self._buffer.rfind(b"{", comma, upto)
            if brace - comma < MANY:
                return []
            between = _BETWEEN.search(self._buffer, max(comma, brace - 100), brace + 1)
            if between and (found := self._values_in(comma + 1, between.start() + 1)):
                return found
            upto = brace
        return []

    def _values_in(self, start: int, end: int) -> list[Item]:
        """The items between an item's beginning and a guessed end; none when it was guessed wrong.

        In brackets it is a list of values exactly when it ends where an item does.
        """
        block = bytes(self._buffer[start:end])
        try:
            items = _values.decode(b"[%b]" % block)
        except (msgspec.DecodeError, RecursionError):
            return []
        found, at, line = [], 0, self._line + self._buffer.count(b"\n", self._at, start)
        for raw in items:
            item = bytes(raw)
            begin = block.find(item, at)
            line += block.count(b"\n", at, begin)
            _check_length(len(item), self._longest, line)
            found.append((line, item))
            at = begin + len(item)
            line += item.count(b"\n")
        self._line, self._at = line, end
        return found

    def _next(self) -> Item | None:
        """The next item, or None when more of the body is needed or its end is reached."""
        while True:
            self._skip_blanks()
            if self._at == len(self._buffer):
                return None
            mark = chr(self._buffer[self._at])
            if self._expect in ("first", "item") and not (mark == "]" and self._expect == "first"):
                return self._item()
            self._expect = self._after(mark)
            self._at += 1

    def _after(self, mark: str) -> str:
        """What comes after a mark outside of items."""
        moves = {("start", "["): "first", ("first", "]"): "nothing", ("comma", ","): "item", ("comma", "]"): "nothing"}
        if (self._expect, mark) not in moves:
            expected = {
                "start": "a JSON array",
                "comma": "a comma or ] after an item",
                "nothing": "nothing after the array",
            }
            raise InvalidInput({"body": f"line {self._line}: expected {expected[self._expect]}"}, code="invalid_json")
        return moves[self._expect, mark]

    def _skip_blanks(self) -> None:
        blank = _BLANK.match(self._buffer, self._at)
        end = blank.end() if blank else self._at
        if self._expect == "start" and self._buffer.startswith(BOM, end):
            end += len(BOM)
        self._line += self._buffer.count(b"\n", self._at, end)
        self._at = end

    def _item(self) -> Item | None:
        end = self._end_of_item()
        if end is None:
            return None
        item, line = bytes(self._buffer[self._at : end]), self._line
        _check_length(len(item), self._longest, line)
        self._line += item.count(b"\n")
        self._at = end
        self._expect = "comma"
        return line, item

    def _end_of_item(self) -> int | None:
        """Where the item at hand ends; None when more of the body is needed to tell."""
        first = chr(self._buffer[self._at])
        if first in "{[":
            return self._end_of_brackets()
        pattern = _MARK if first == '"' else _SCALAR
        text = pattern.match(self._buffer, self._at)
        if text is None:
            raise InvalidInput({"body": f"line {self._line}: expected an item"}, code="invalid_json")
        complete = bool(text.group(1)) if first == '"' else text.end() < len(self._buffer)
        return text.end() if complete else None

    def _end_of_brackets(self) -> int | None:
        depth = 0
        for mark in _MARK.finditer(self._buffer, self._at):
            text = mark.group()
            if text in (b"{", b"["):
                depth += 1
            elif text in (b"}", b"]"):
                depth -= 1
                if depth == 0:
                    return mark.end()
            elif not mark.group(1):
                return None
        return None


def _check_length(length: int, longest: int, line: int) -> None:
    if length > longest:
        raise TooLarge(f"The item at line {line} is larger than the {longest} bytes that are allowed.", limit=longest)
