"""Every plugin of the repository is held to one behaviour, and sees of the portal only the sdk."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/plugin.toml"))
FOREIGN = {"litestar", "sqlalchemy", "arq", "redis", "jinja2", "os", "subprocess", "socket"}


def _classes(folder: Path, base: str) -> set[str]:
    """Names of the classes in these files that derive from a class whose name ends with `base`."""
    return {
        node.name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and any(ast.unparse(each).split("[")[0].endswith(base) for each in node.bases)
    }


def _tested(folder: Path, contract: str, attribute: str) -> set[str]:
    """Classes named in `attribute = …` of the suites that derive from `contract`."""
    return {
        ast.unparse(statement.value).rsplit(".", 1)[-1]
        for path in folder.glob("tests/test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and any(ast.unparse(each).endswith(contract) for each in node.bases)
        for statement in node.body
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None
        and attribute in ast.unparse(statement).split("=")[0]
    }  # fmt: skip


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_says_who_it_is(folder: Path) -> None:
    about = tomllib.loads((folder / "plugin.toml").read_text())
    assert about["name"] == folder.name
    assert {"title", "version", "sdk", "description"} <= about.keys()
    assert (folder / "README.md").exists(), "a README says what it does, its settings, limits and sources"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_every_provider_passes_the_providers_contract(folder: Path) -> None:
    assert _classes(folder, "Provider") <= _tested(folder, "ProviderContract", "provider")


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_every_channel_passes_the_channels_contract(folder: Path) -> None:
    assert _classes(folder, "ChannelAdapter") <= _tested(folder, "ChannelContract", "channel")


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_imports_the_sdk_and_nothing_else_of_the_portal(folder: Path) -> None:
    found: list[str] = []
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [
                f"{path.name}: {name}"
                for name in names
                if name.split(".")[0] in FOREIGN
                or (name.startswith("portal") and not name.startswith("portal.sdk"))
                or (name.startswith("plugins.") and name.split(".")[1] != folder.name)
            ]
    assert found == []
