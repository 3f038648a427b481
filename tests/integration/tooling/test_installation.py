"""A real installation starts, answers, takes commands from another shell, and ends when asked."""

from __future__ import annotations

import urllib.request

from tests.installation import Installation


def test_a_running_portal_answers_and_takes_commands(running: Installation) -> None:
    with urllib.request.urlopen(f"{running.url}/health", timeout=5) as answer:
        assert answer.status == 200
    key = running.command("keys", "create", "from another shell")
    assert key.startswith("pp_live_")
    assert len(key.split()) == 1
