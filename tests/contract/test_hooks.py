"""A hook is a promise: it is documented with its signature, used by a plugin of ours, and has a test named after it."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal.sdk import PROJECT, hookspecs

ROOT = Path(__file__).parents[2]
HOOKS = {
    name: hook for name, hook in vars(hookspecs).items() if inspect.isfunction(hook) and hasattr(hook, f"{PROJECT}_spec")
}  # fmt: skip


def _functions(*patterns: str) -> dict[str, set[str]]:
    """Names of the functions in these files → the decorators they carry anywhere."""
    found: dict[str, set[str]] = {}
    for pattern in patterns:
        for path in ROOT.glob(pattern):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    found.setdefault(node.name, set()).update(ast.unparse(each) for each in node.decorator_list)
    return found


def test_there_are_hooks_to_check() -> None:
    assert {"register_channels", "register_providers"} <= HOOKS.keys()


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_a_heading_with_its_exact_signature(name: str) -> None:
    headings = re.findall(r"^#+ `?([^`\n]+?)`?$", (ROOT / "docs" / "hooks.md").read_text(), re.MULTILINE)
    assert _signature(HOOKS[name]) in headings


def _signature(hook: Callable[..., Any]) -> str:
    return f"{hook.__name__}({', '.join(inspect.signature(hook).parameters)})"


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_says_in_a_sentence_what_it_is_for(name: str) -> None:
    said = inspect.getdoc(HOOKS[name]) or ""
    assert said.split("\n\n")[0].endswith(".")


@pytest.mark.parametrize("name", HOOKS)
def test_a_plugin_of_ours_uses_the_hook(name: str) -> None:
    implemented = _functions("plugins/*/*.py", "portal/*/*.py")
    assert "hookimpl" in implemented.get(name, set())


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_a_test_named_after_it(name: str) -> None:
    tests = _functions("tests/**/test_*.py", "plugins/*/tests/test_*.py")
    assert [test for test in tests if test.startswith(f"test_hook_{name}")] != []
