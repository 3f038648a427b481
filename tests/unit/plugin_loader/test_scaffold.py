"""`portal plugins new NAME` writes a plugin that passes its own tests at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from portal.errors import Conflict, InvalidInput
from portal.plugin_loader import load
from portal.plugin_loader.scaffold import new_plugin
from portal.settings import Settings


def test_a_new_plugin_passes_its_tests_and_loads(tmp_path: Path) -> None:
    folder = new_plugin("acme_sms", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", str(folder)]
    # From a folder of its own: no configuration of this repository helps it.
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    registry = load(Settings(plugins_dir=str(tmp_path), plugins=["acme_sms", "sms"]))
    assert [info.problem for info in registry.plugins if info.enabled] == [None, None]
    assert registry.providers["acme_sms"].title == "AcmeSms"
    assert not [path for path in folder.rglob("*.py") if "_example" in path.read_text()]


@pytest.mark.parametrize("name", ["", "Acme", "acme-sms", "../evil", "1st", "_x", "a" * 50, "plugins", "a/b"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        new_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    with pytest.raises(Conflict):
        new_plugin("acme", tmp_path)
