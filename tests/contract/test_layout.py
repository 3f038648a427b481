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
    "ntfy", "onesignal", "plivo", "postmark", "pushover", "sendgrid", "sinch", "slack", "sparkpost", "tencent", "twilio",
    "vonage", "wechat", "wecom", "whatsapp",
}  # fmt: skip


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SHIPPED, ids=_name)
def test_a_module_is_named_after_a_noun_or_a_verb_of_ours(path: Path) -> None:
    assert path.stem not in NOT_A_SUBJECT


@pytest.mark.parametrize("path", [path for path in CODE if path.read_text().strip()], ids=_name)
def test_a_module_begins_with_its_sentence(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text()))
    assert said, "say in a sentence what it owns"


@pytest.mark.parametrize("path", CODE, ids=_name)
def test_a_rule_that_is_switched_off_is_named(path: Path) -> None:
    lines = path.read_text().splitlines()
    bare = re.compile(r"#\s*(noqa(?!:)|type:\s*ignore(?!\[))")
    assert [number for number, line in enumerate(lines, 1) if bare.search(line)] == []


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
    folders = sorted(path.parent.name for path in ROOT.glob("plugins/*/plugin.toml"))
    registry = load(Settings(data_dir=str(tmp_path_factory.mktemp("data")), plugins=folders))
    assert [info.problem for info in registry.plugins if info.problem] == []
    assert registry.providers, "no plugin brought a provider"
    return VENDORS | (registry.providers.keys() - registry.channels.keys() - PART_OF_THE_PRODUCT)


@pytest.mark.parametrize("path", CORE, ids=_name)
def test_the_core_names_no_vendor(path: Path, vendors: set[str]) -> None:
    pattern = re.compile(rf"(?<![a-z])({'|'.join(sorted(vendors))})(?![a-z])", re.IGNORECASE)
    found = [(line, word) for line, word in _words(ast.parse(path.read_text())) if pattern.search(word)]
    assert found == []


def test_the_pages_name_no_vendor(vendors: set[str]) -> None:
    pattern = re.compile(rf"\b({'|'.join(sorted(vendors))})\b", re.IGNORECASE)
    found = [
        (_name(path), match) for path in ROOT.glob("templates/**/*.html") for match in pattern.findall(path.read_text())
    ]
    assert found == []
