"""Writes a plugin to start from: the tested example, under another name."""

from __future__ import annotations

from pathlib import Path

from portal.errors import Conflict, InvalidInput
from portal.plugin_loader.discover import INSTALLED, NAME

EXAMPLE = INSTALLED / "_example"
TEXT = {".py", ".toml", ".md", ".json"}


def new_plugin(name: str, directory: Path) -> Path:
    """Copy the example into `directory/name` with every name in it changed; returns the new folder.

    Raises InvalidInput for a name that is no plugin's, Conflict when the folder is there already. The new plugin passes
    its tests as it is: `pytest directory/name`.
    """
    if not NAME.fullmatch(name) or name in ("example", "portal", "plugins"):
        raise InvalidInput({"name": "expected lower case letters, digits and underscores, beginning with a letter"})
    target = directory / name
    if target.exists():
        raise Conflict(f"{target} is there already.")
    for source in sorted(EXAMPLE.rglob("*")):
        if source.is_file() and source.suffix in TEXT:
            path = target / source.relative_to(EXAMPLE).with_name(source.name.replace("example", name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_renamed(source.read_text(encoding="utf-8"), name), encoding="utf-8")
    return target


def _renamed(text: str, name: str) -> str:
    # api.example.com stays: it is nobody's, and the author puts the vendor's in its place.
    camel = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("_example", name).replace('"example"', f'"{name}"').replace("Example", camel)
