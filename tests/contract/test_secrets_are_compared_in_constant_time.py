"""Security row 27: a secret is never compared with `==`, whose time tells how much of a guess was right."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted([*ROOT.glob("portal/**/*.py"), *(p for p in ROOT.glob("plugins/**/*.py") if "tests" not in p.parts)])
SECRET = re.compile(
    r"(^|_)(tokens?|secrets?|password|passphrase|signatures?|h?mac|digest|csrf|sha256|otp|verifier)($|_)"
)
# Names that only look like one: module → names, each with its reason.
KNOWN: dict[str, dict[str, str]] = {
    "portal/message_templates/html.py": {"token": "a piece of HTML"},
}


def _names(node: ast.expr) -> list[str]:
    """The identifiers of an operand, and the text of the key it is looked up by."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.Subscript):
        key = [node.slice.value] if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) else []
        return key or _names(node.value)
    if isinstance(node, ast.Call):
        return _names(node.func) + [name for argument in node.args for name in _names(argument)]
    return []


def comparisons(source: str) -> list[tuple[int, str]]:
    """Lines where something that is named like a secret meets `==` or `!=`; a constant beside it tells nothing."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare):
            continue
        operands = [node.left, *node.comparators]
        plain = any(isinstance(operand, ast.Constant) for operand in operands)
        if plain or not any(isinstance(operator, (ast.Eq, ast.NotEq)) for operator in node.ops):
            continue
        found += [(node.lineno, name) for operand in operands for name in _names(operand) if SECRET.search(name)]
    return found


def test_no_secret_is_compared_with_equality() -> None:
    found = []
    for path in CODE:
        name = str(path.relative_to(ROOT))
        for line, word in comparisons(path.read_text()):
            if word not in KNOWN.get(name, {}) and not _is_a_column(path, line):
                found.append(f"{name}:{line} {word}")
    assert found == [], "use hmac.compare_digest"


def _is_a_column(path: Path, line: int) -> bool:
    """`ApiKey.sha256 == wanted` is SQL: an index look-up by a hash of 256 random bits, where nothing can be guessed."""
    text = path.read_text().splitlines()[line - 1]
    return re.search(r"\b[A-Z]\w+\.\w+ [!=]= ", text) is not None


@pytest.mark.parametrize(
    "source",
    ["token == given", "row.sha256 != digest(key)", "form['csrf'] == session.csrf_token", "sign(x) == h['signature']"],
)
def test_the_rule_bites(source: str) -> None:
    assert comparisons(source)


@pytest.mark.parametrize("source", ["token is None", "token == ''", "compare_digest(token, given)", "kind == 'secret'"])
def test_the_rule_lets_harmless_things_pass(source: str) -> None:
    assert comparisons(source) == []
