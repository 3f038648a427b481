"""The layout of the code: file names from the vocabulary, a sentence at the head of each module, no vendor in the core."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.plugin_loader import load
from portal.settings import Settings

ROOT = Path(__file__).parents[2]
CORE = sorted(ROOT.glob("portal/**/*.py"))
CODE = sorted([*CORE, *ROOT.glob("plugins/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("tests/**/*.py")])
SHIPPED = [path for path in CODE if "tests" not in path.relative_to(ROOT).parts]

NOT_A_SUBJECT = {
    "service",
    "services",
    "util",
    "utils",
    "helper",
    "helpers",
    "manager",
    "managers",
    "base",
    "common",
    "misc",
}

# The sandbox keeps what would have been sent: it belongs to the product. A channel's plain provider has its name.
PART_OF_THE_PRODUCT = {"sandbox"}
VENDORS = {
    "aliyun", "apns", "dingtalk", "discord", "fcm", "feishu", "mailgun", "mandrill", "mattermost", "messagebird", "nexmo",
    "ntfy", "onesignal", "plivo", "postmark", "pushover", "sendgrid", "sinch", "sparkpost", "tencent", "twilio",
    "vonage", "wechat", "wecom", "whatsapp",
}  # fmt: skip


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_a_module_is_named_after_a_noun_or_a_verb_of_ours() -> None:
    assert [_name(path) for path in SHIPPED if path.stem in NOT_A_SUBJECT] == []


def test_a_module_begins_with_a_sentence_that_says_what_it_owns() -> None:
    silent = [path for path in CODE if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))]
    assert [_name(path) for path in silent] == []


def test_a_rule_that_is_switched_off_is_named() -> None:
    bare = re.compile(r"#\s*(noqa(?!:)|type:\s*ignore(?!\[))")
    places = [f"{_name(path)}:{number}" for path in CODE for number, line in _lines(path) if bare.search(line)]
    assert places == []


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return enumerate(path.read_text().splitlines(), 1)


def _words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name and every string of a module but its docstrings: what the code does, not what it says of itself."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node.lineno, " ".join([getattr(node, "module", None) or "", *(alias.name for alias in node.names)])


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The providers that the repository's plugins bring, and vendors that everybody thinks of."""
    folders = sorted(path.parent.name for path in ROOT.glob("plugins/[!_]*/plugin.toml"))
    registry = load(Settings(data_dir=str(tmp_path_factory.mktemp("data")), plugins=folders))
    assert [info.problem for info in registry.plugins if info.problem] == []
    assert registry.providers, "no plugin brought a provider"
    return VENDORS | (registry.providers.keys() - registry.channels.keys() - PART_OF_THE_PRODUCT)


def test_the_core_names_no_vendor(vendors: set[str]) -> None:
    pattern = re.compile(rf"(?<![a-z])({'|'.join(sorted(vendors))})(?![a-z])", re.IGNORECASE)
    words = [(path, *found) for path in CORE for found in _words(ast.parse(path.read_text()))]
    assert [f"{_name(path)}:{line} {word}" for path, line, word in words if pattern.search(word)] == []


def test_the_pages_name_no_vendor(vendors: set[str]) -> None:
    pattern = re.compile(rf"\b({'|'.join(sorted(vendors))})\b", re.IGNORECASE)
    pages = [(path, number, line) for path in ROOT.glob("templates/**/*.html") for number, line in _lines(path)]
    assert [f"{_name(path)}:{number}" for path, number, line in pages if pattern.search(line)] == []
