"""The scanner is asked through the hook, as the portal asks it."""

from __future__ import annotations

from pathlib import Path

from plugins.eicar import SIGNATURE
from portal.plugin_loader import load
from portal.settings import Settings


def test_hook_scan_attachment_refuses_the_test_file_and_nothing_else(tmp_path: Path) -> None:
    registry = load(Settings(data_dir=str(tmp_path), plugins=["eicar"]))
    scan = registry.scanners["eicar"]
    assert scan("a.txt", "text/plain", b"hello") is None
    assert scan("a.zip", "application/zip", b"..." + SIGNATURE) == "The file is the EICAR test file."


def test_a_plugin_that_is_not_enabled_scans_nothing(tmp_path: Path) -> None:
    assert load(Settings(data_dir=str(tmp_path), plugins=["sms"])).scanners == {}
