"""Lists plugins from their metadata alone: nothing of a plugin is imported here."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from portal.sdk import API_VERSION

ENTRY_POINT_GROUP = "portal.plugins"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
# The folder that is installed beside this package; the working directory is never searched.
INSTALLED = Path(__file__).resolve().parent.parent.parent / "plugins"


class Manifest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The contents of `plugin.toml`. `sdk` is the contract version that the plugin was written for."""

    name: str
    title: str
    version: str
    sdk: int
    description: str = ""


class Found(Struct, frozen=True, kw_only=True):
    """A plugin that could be imported: from `folder`, or by `entry_point`. `problem` is why it must not be."""

    name: str
    title: str
    version: str = ""
    description: str = ""
    folder: Path | None = None
    entry_point: EntryPoint | None = None
    problem: str | None = None


def discover(plugins_dir: str | Path | None = None) -> list[Found]:
    """Every plugin of the installed folder, of `plugins_dir`, and of installed packages, in this order, by name.

    The first of a name is the one; a later one is listed with the reason why it is not used.
    """
    found: list[Found] = []
    taken: set[str] = set()
    for plugin in (*_in_folders(plugins_dir), *_in_packages()):
        if plugin.name in taken:
            problem = f"Another plugin is called {plugin.name}; this one is not used."
            plugin = msgspec.structs.replace(plugin, problem=problem)
        taken.add(plugin.name)
        found.append(plugin)
    return found


def _in_folders(plugins_dir: str | Path | None) -> Iterator[Found]:
    roots = [INSTALLED]
    if plugins_dir and Path(plugins_dir).resolve() != INSTALLED:
        roots.append(Path(plugins_dir).resolve())
    for root in roots:
        if not root.is_dir():
            continue
        for folder in sorted(root.iterdir()):
            if not folder.name.startswith(("_", ".")) and (folder / "plugin.toml").is_file():
                yield _read(folder)


def _read(folder: Path) -> Found:
    try:
        manifest = msgspec.convert(tomllib.loads((folder / "plugin.toml").read_text(encoding="utf-8")), Manifest)
    except (OSError, ValueError) as error:  # tomllib's and msgspec's errors are ValueErrors
        return Found(name=folder.name, title=folder.name, folder=folder, problem=f"plugin.toml: {error}")
    return Found(
        name=folder.name,
        title=manifest.title,
        version=manifest.version,
        description=manifest.description,
        folder=folder,
        problem=_unfit(folder.name, manifest),
    )


def _unfit(folder: str, manifest: Manifest) -> str | None:
    if not NAME.fullmatch(folder) or manifest.name != folder:
        return f"plugin.toml: name must equal the folder's name {folder} (lower case letters, digits, underscores)."
    if manifest.sdk != API_VERSION:
        return f"Written for version {manifest.sdk} of the plugin contract; this portal has version {API_VERSION}."
    return None


def _in_packages() -> Iterator[Found]:
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        meta: Any = entry.dist.metadata if entry.dist else {}
        problem = None if NAME.fullmatch(entry.name) else "The entry point's name has other than a-z, 0-9 and _."
        yield Found(
            name=entry.name,
            title=entry.name,
            version=meta.get("Version", "") or "",
            description=meta.get("Summary", "") or "",
            entry_point=entry,
            problem=problem,
        )
