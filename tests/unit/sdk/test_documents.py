"""The code in the documents about plugins is the code that is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
INCLUDED = re.compile(r"<!-- include: (?P<path>\S+) -->\n```python\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = [
    (page.name, found["path"], found["code"])
    for page in (ROOT / "docs").glob("*.md")
    for found in INCLUDED.finditer(page.read_text())
]


def test_there_is_code_to_compare() -> None:
    assert {path for _, path, _ in BLOCKS} >= {
        "plugins/_example/provider.py",
        "tests/contract/plugins/pager/channel.py",
    }


@pytest.mark.parametrize(("page", "path", "code"), BLOCKS)
def test_a_block_is_a_piece_of_its_file(page: str, path: str, code: str) -> None:
    assert code.rstrip() in (ROOT / path).read_text(), f"docs/{page} shows another {path}"


def test_the_page_tells_how_many_checks_there_are() -> None:
    checks = re.findall(r"    (?:async )?def test_", (ROOT / "portal/sdk/testing.py").read_text())
    assert len(checks) >= 40
