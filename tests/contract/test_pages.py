"""Every page is titled and holds no inline script or style: the content security policy is strict and stays so."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "templates"
TEMPLATES = sorted(FOLDER.rglob("*.html"))
PAGES = [path for path in TEMPLATES if not path.name.startswith(("_", "base"))]
STATEMENT = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
# Data for a script, not a script: it is never run.
DATA = {"application/json"}

if not TEMPLATES:
    pytest.skip("no template is written yet", allow_module_level=True)


def _name(path: Path) -> str:
    return str(path.relative_to(FOLDER))


class Inline(HTMLParser):
    """Collects what the content security policy would refuse."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[str] = []
        # An expression inside a tag must not end it; what it prints is escaped text.
        self.feed(EXPRESSION.sub("x", STATEMENT.sub(" ", source)))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "style" or (tag == "script" and "src" not in given and given.get("type") not in DATA):
            self.found.append(f"<{tag}> at line {self.getpos()[0]}")
        for name, value in attributes:
            if name.startswith(("on", "hx-on", "data-hx-on")) or name in ("style", "srcdoc"):
                self.found.append(f"{name}= at line {self.getpos()[0]}")
            if name in ("href", "src", "action", "formaction") and (value or "").strip().lower().startswith(
                "javascript:"
            ):
                self.found.append(f"javascript: at line {self.getpos()[0]}")
            if name.startswith("hx-") and (value or "").startswith(("js:", "javascript:")):
                self.found.append(f"{name}={value} at line {self.getpos()[0]}: needs unsafe-eval")


@pytest.mark.parametrize("path", TEMPLATES, ids=_name)
def test_a_template_holds_no_inline_script_or_style(path: Path) -> None:
    assert Inline(path.read_text()).found == []


@pytest.mark.parametrize(
    "source",
    [
        "<script>x()</script>", "<style>a{}</style>", "<p onclick='x()'>", "<p style='color:red'>", "<a href='javascript:x()'>",
        "<p hx-on:click='x()'>", "<p hx-vals='js:{a: 1}'>", "<p {% if x %}onclick='x()'{% endif %}>",
    ],
)  # fmt: skip
def test_the_rule_bites(source: str) -> None:
    assert Inline(source).found


@pytest.mark.parametrize(
    "source", ["<script src='/a.js'></script>", "<script type='application/json'>{}</script>", "<p>on</p>"]
)
def test_the_rule_lets_harmless_things_pass(source: str) -> None:
    assert Inline(source).found == []


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_a_page_has_a_title_of_its_own(path: Path) -> None:
    title = re.search(r"\{%-?\s*block title\s*-?%\}(.*?)\{%-?\s*endblock", path.read_text(), re.DOTALL)
    assert title is not None, "{% block title %} is missing"
    assert title.group(1).strip()


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_a_page_extends_a_base(path: Path) -> None:
    assert re.search(r"\{%-?\s*extends\s+[\"'](\w+/)*base\w*\.html[\"']", path.read_text())


@pytest.mark.parametrize("path", TEMPLATES, ids=_name)
def test_nothing_turns_escaping_off(path: Path) -> None:
    found = re.findall(r"\|\s*safe\b|autoescape\s+false", path.read_text())
    assert found == [], "text of people and vendors is on these pages; build Markup in code where it is made safe"


@pytest.mark.parametrize("path", TEMPLATES, ids=_name)
def test_a_template_that_is_named_exists(path: Path) -> None:
    named = re.findall(r"\{%-?\s*(?:extends|include|import|from)\s+[\"']([^\"']+)[\"']", path.read_text())
    assert [name for name in named if not (FOLDER / name).exists()] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=_name)
def test_every_form_that_changes_something_carries_the_token(path: Path) -> None:
    source = path.read_text()
    for form in re.findall(r"<form\b.*?</form>", source, re.DOTALL | re.IGNORECASE):
        if re.search(r"method=[\"']?post", form, re.IGNORECASE):
            assert "csrf" in form, form[:80]
