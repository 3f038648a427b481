"""Writes the pages of docs/ that are made from code: `make docs`. Structural tests fail when one of them is not current.

`settings.md` comes from the settings struct, `openapi.json` and `api.md` from the app, the diagrams in `states.md` from
the dicts of allowed moves; what stands between the markers of `states.md` is replaced, the rest is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from portal.ledger.statuses import MOVES
from portal.settings import PREFIX, Settings

DOCS = Path(__file__).resolve().parent
DIAGRAM = re.compile(r"<!-- moves: (\w+) -->.*?<!-- end -->", re.DOTALL)
METHODS = ("get", "post", "put", "patch", "delete")


# --- settings -------------------------------------------------------------------------------------------------------


def settings_page() -> str:
    """Every setting with its default, its limits and its sentence."""
    lines = [
        "# Settings",
        "",
        "Made by `make docs` from `portal/settings.py`; do not edit.",
        "",
        "Each setting is an environment variable; lists are comma-separated. `PORTAL_CONFIG` may name a TOML file with the",
        "same names, without the prefix and in lower case; a variable wins over the file. A wrong value stops the start and",
        "names the variable. Routes, provider accounts, limits of applications and stop buttons are data in the portal,",
        "not settings.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        meta = next((extra for extra in get_args(hints[field.name])[1:] if isinstance(extra, Meta)), Meta())
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        cells = (f"`{PREFIX}{field.name.upper()}`", _shown(default), f"{meta.description or ''}{_limits(meta)}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shown(default: Any) -> str:
    if default in ("", []):
        return "(empty)"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{','.join(default)}`" if isinstance(default, list) else f"`{default}`"


def _limits(meta: Meta) -> str:
    pairs = (("at least", meta.ge), ("more than", meta.gt), ("at most", meta.le), ("less than", meta.lt))
    said = [f"{word} {value}" for word, value in pairs if value is not None]
    return f" ({', '.join(said)})" if said else ""


# --- states ---------------------------------------------------------------------------------------------------------


def states_page(current: str) -> str:
    """`states.md` with its diagrams drawn anew."""
    return DIAGRAM.sub(lambda match: _diagram(match.group(1)), current)


def _diagram(noun: str) -> str:
    moves = MOVES[noun]
    lines = [f"<!-- moves: {noun} -->", "```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(moves))}"]
    for before, after in moves.items():
        lines += [f"    {before} --> {status}" for status in after] or [f"    {before} --> [*]"]
    return "\n".join([*lines, "```", "<!-- end -->"])


# --- API ------------------------------------------------------------------------------------------------------------


def openapi() -> dict[str, Any]:
    """The OpenAPI document of the app, without what depends on the machine."""
    from portal.app import create_framework

    with tempfile.TemporaryDirectory() as folder:
        app = create_framework(Settings(data_dir=folder))
        return dict(json.loads(json.dumps(app.openapi_schema.to_schema())))


def openapi_page(schema: dict[str, Any]) -> str:
    """The document as it stands in the repository: sorted, so that a change of the API shows as a small difference."""
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def api_page(schema: dict[str, Any]) -> str:
    """A table of every operation: what one needs to find the right one; `/schema` has the details."""
    lines = [
        "# JSON API",
        "",
        "Made by `make docs` from the app; do not edit. The full description is [openapi.json](openapi.json), which a running",
        "portal serves at `/schema`. Every answer that is not a success is `application/problem+json` with `code`, `detail`",
        "and, for wrong input, `errors`: each a `field` and the `message` that says what was expected.",
    ]
    for tag, rows in _operations(schema).items():
        lines += ["", f"## {tag}", "", "| operation | what it does | answers |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _operations(schema: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path, item in sorted(schema["paths"].items()):
        for method in METHODS:
            if operation := item.get(method):
                tag = (operation.get("tags") or ["other"])[0]
                answers = " ".join(sorted(operation.get("responses", {})))
                said = (operation.get("description") or operation.get("summary") or "").split("\n\n")[0]
                row = f"| `{method.upper()} {path}` | {' '.join(said.split())} | {answers} |"
                found.setdefault(tag, []).append(row)
    return dict(sorted(found.items()))


# --- all of them ----------------------------------------------------------------------------------------------------


def pages() -> Iterator[tuple[Path, Callable[[], str]]]:
    """Each generated file and what makes it."""
    schema: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        schema.update(schema or openapi())
        return schema

    yield DOCS / "settings.md", settings_page
    yield DOCS / "states.md", lambda: states_page((DOCS / "states.md").read_text())
    yield DOCS / "openapi.json", lambda: openapi_page(document())
    yield DOCS / "api.md", lambda: api_page(document())


def main() -> None:
    """Write what is not current and say so."""
    for path, make in pages():
        page = make()
        if not path.exists() or path.read_text() != page:
            path.write_text(page)
            print(f"wrote {path.relative_to(DOCS.parent)}", file=sys.stderr)


if __name__ == "__main__":
    main()
