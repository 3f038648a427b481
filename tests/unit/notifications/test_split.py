"""Splitting bodies: the same items whatever the pieces, and no more than one item in memory."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import InvalidInput, TooLarge
from portal.notifications.split import Array, Lines, Splitter

LONGEST = 10_000
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


def split(splitter: Splitter, body: bytes, size: int) -> list[tuple[int, bytes]]:
    """The items of a body that comes in pieces of this size."""
    found = []
    for start in range(0, len(body), size):
        found += splitter.feed(body[start : start + size])
    return found + splitter.end()


@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
def test_an_array_gives_its_items_whatever_the_pieces(
    items: list[Any], size: int, indent: int | None, ascii_only: bool
) -> None:
    body = json.dumps(items, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    found = split(Array(LONGEST), body, size)
    assert [json.loads(text.decode("utf-8", "surrogatepass")) for _, text in found] == items
    for line, text in found:
        first = text.split(b"\n")[0]
        assert body.split(b"\n")[line - 1].strip(b" ,[\r").startswith(first.rstrip(b",")[:20]) or first in body


@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.sampled_from(["\n", "\r\n", "\n\n \n"]))
def test_lines_give_their_items_whatever_the_pieces(items: list[Any], size: int, ending: str) -> None:
    body = ending.join(json.dumps(item) for item in items).encode()
    assert [json.loads(text) for _, text in split(Lines(LONGEST), body, size)] == items


@given(st.lists(VALUES, min_size=5, max_size=5), st.integers(500, 4000), st.sampled_from([None, 1]))
def test_many_items_at_once_are_the_same_items(items: list[Any], size: int, indent: int | None) -> None:
    wrapped = [{"a": item, "b": "},{" + "x" * 40, "c": [{}, {}]} for item in items * 12]
    body = json.dumps(wrapped, indent=indent).encode()
    found = split(Array(LONGEST), body, size)
    assert [json.loads(text) for _, text in found] == wrapped
    lines = body.split(b"\n")
    assert [line for line, _ in found] == (
        [1] * 60 if indent is None else [n for n, line in enumerate(lines, 1) if line == b" {"]
    )


def test_lines_are_counted_as_they_were_sent() -> None:
    assert split(Lines(LONGEST), b'{"a":1}\n\n  \n{"b":2}', 3) == [(1, b'{"a":1}'), (4, b'{"b":2}')]
    assert split(Array(LONGEST), b'[\n{"a":\n1},\n\n{"b":2}]', 3) == [(2, b'{"a":\n1}'), (5, b'{"b":2}')]


def test_a_mark_of_byte_order_at_the_front_is_passed_over() -> None:
    assert split(Lines(LONGEST), b"\xef\xbb\xbf1\n2", 2) == [(1, b"1"), (2, b"2")]
    assert split(Array(LONGEST), b"\xef\xbb\xbf[1]", 100) == [(1, b"1")]


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[1", b"[1,", b"[1,]", b"[,1]", b"[1 2]", b"[1]]", b"[1] 2", b"{}", b'["a', b'[{"a":"}]', b"[[[1]]", b'"x"']
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 100])
def test_what_is_not_a_whole_array_is_refused(body: bytes, size: int) -> None:
    with pytest.raises(InvalidInput):
        split(Array(LONGEST), body, size)


@pytest.mark.parametrize("splitter", [Array, Lines])
@pytest.mark.parametrize("text", [b'"' + b"x" * 200 + b'"', b'{"a":' * 40, b"1" * 200])
def test_an_item_that_is_too_long_is_refused_before_its_end(splitter: type[Array | Lines], text: bytes) -> None:
    with pytest.raises(TooLarge):
        split(splitter(100), b"[" * (splitter is Array) + text, 10)


def test_deep_nesting_is_split_as_well() -> None:
    deep = b"[" * 50 + b'"]"' + b"]" * 50
    assert split(Array(LONGEST), b"[" + deep + b',{"b":{"c":{"d":{"e":{"f":[1]}}}}}]', 7) == [
        (1, deep),
        (1, b'{"b":{"c":{"d":{"e":{"f":[1]}}}}}'),
    ]


@pytest.mark.parametrize("splitter", [Array(300_000), Lines(300_000)])
def test_tiny_pieces_of_a_long_item_do_not_cost_a_scan_each(splitter: Splitter) -> None:
    body = b'["' + b"x" * 250_000 + b'"]'
    started = time.process_time()
    split(splitter, body, 1)
    # Quadratic work would take minutes.
    assert time.process_time() - started < 5
