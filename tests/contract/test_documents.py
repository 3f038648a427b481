"""The documents cannot lie: what is made from code is current, what is drawn equals the code, every link leads somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from portal.ledger.statuses import DELIVERY_TERMINAL, MOVES, REASONS, TERMINAL
from portal.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = {path.name: make for path, make in _generator().pages()}


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == GENERATED[name](), f"docs/{name} is not current; run: make docs"


@pytest.mark.parametrize("field", msgspec.structs.fields(Settings), ids=lambda field: field.name)
def test_every_setting_has_a_row_and_a_sentence(field: msgspec.structs.FieldInfo) -> None:
    rows = [
        line for line in (DOCS / "settings.md").read_text().splitlines() if f"`PORTAL_{field.name.upper()}`" in line
    ]
    assert len(rows) == 1
    sentence = rows[0].rstrip(" |").rsplit("|", 1)[1]
    assert len(sentence.split()) >= 3, f"{field.name}: say in a sentence what it is and in which unit"


@pytest.mark.parametrize("noun", MOVES)
def test_the_diagram_of_each_noun_equals_its_moves(noun: str) -> None:
    page = (DOCS / "states.md").read_text()
    drawing = page.split(f"<!-- moves: {noun} -->")[1].split("<!-- end -->")[0]
    drawn: dict[str, set[str]] = {}
    for before, after in re.findall(r"^\s*(\S+) --> (\S+)$", drawing, re.MULTILINE):
        if before != "[*]":
            drawn.setdefault(before, set()).update({after} - {"[*]"})
    assert drawn == {before: set(after) for before, after in MOVES[noun].items()}


@pytest.mark.parametrize("noun", MOVES)
def test_every_move_leads_to_a_known_status_and_every_status_can_end(noun: str) -> None:
    moves = MOVES[noun]
    assert {after for afters in moves.values() for after in afters} <= moves.keys()
    ending = {status for status, after in moves.items() if not after}
    while True:
        wider = ending | {status for status, after in moves.items() if ending & set(after)}
        if wider == ending:
            break
        ending = wider
    assert ending == moves.keys()


def test_the_terminal_statuses_are_those_that_the_design_names() -> None:
    assert set(TERMINAL) == {"sent", "failed", "skipped", "expired", "cancelled"}
    assert set(DELIVERY_TERMINAL) == {"sent", "dead", "skipped", "expired", "cancelled"}


def test_every_reason_is_a_sentence() -> None:
    assert [key for key, said in REASONS.items() if not said.endswith(".") or len(said.split()) < 3] == []


def _pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("plugins/*/README.md")])


@pytest.mark.parametrize("page", _pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target and "mailto:" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_first_pages_stay_short(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= 120


WANTED = (
    "quickstart",
    "glossary",
    "architecture",
    "states",
    "settings",
    "api",
    "hooks",
    "writing-plugins",
    "operations",
    "security",
)


@pytest.mark.parametrize("name", WANTED)
def test_every_page_of_the_documentation_is_there(name: str) -> None:
    assert (DOCS / f"{name}.md").exists()


@pytest.mark.parametrize("page", sorted(DOCS.glob("adr/*.md")), ids=lambda page: page.stem)
def test_a_decision_has_its_four_headings(page: Path) -> None:
    text = page.read_text()
    assert re.match(r"# \d{4} ", text), "the title starts with the number"
    assert text.split()[1] == page.name[:4]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Status", "Context", "Decision", "Consequences"]
