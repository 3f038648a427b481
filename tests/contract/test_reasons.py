"""Silence is never the outcome: every reason that the code gives has a sentence in the catalogue, and no sentence is idle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from portal.ledger.statuses import REASONS

ROOT = Path(__file__).parents[2]
# Rooms that end notifications and deliveries.
ROOMS = ("delivery", "notifications", "preferences")
# Sentences for parts of the product that are not built yet.
AHEAD = {"preference", "quiet_hours", "frequency_cap", "digested", "rule", "duplicate"}


def _given(tree: ast.Module) -> Iterator[str]:
    """Texts that become a reason: `reason="…"`, `Skip("…")`, `Dead("…")`, `row["reason"] = "…"`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rsplit(".", 1)[-1]
            values = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            values += node.args[:1] if name in ("Skip", "Dead") else []
            yield from _texts(values)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("row['reason']"):
            yield from _texts([node.value])


def _texts(values: list[ast.expr]) -> Iterator[str]:
    for value in values:
        parts = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
        yield from (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _files() -> Iterator[Path]:
    for room in ROOMS:
        yield from ROOT.glob(f"portal/{room}/*.py")


def test_every_reason_that_is_given_has_a_sentence() -> None:
    given = {text for path in _files() for text in _given(ast.parse(path.read_text()))}
    assert {"expired", "crashed"} <= given, "the test no longer finds what it looks for"
    assert sorted(given - REASONS.keys()) == []


def test_every_sentence_belongs_to_a_reason_that_is_given() -> None:
    texts = {
        node.value
        for path in _files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert sorted(REASONS.keys() - texts - AHEAD) == []
