"""Points at which the fault tests end or stop this process; nothing happens unless `PORTAL_FAILPOINTS` is set.

`PORTAL_FAILPOINTS="after_send=kill@3,before_settle=stop"` kills the process when it passes `after_send` for the third
time and stops it (SIGSTOP) at the first `before_settle`. The points, in the order of the work: `before_commit`,
`after_commit`, `before_ring` (accepting); `after_claim`, `after_plan` (the attempts are open), `after_send` (the vendor
answered), `before_settle` (delivering).
"""

from __future__ import annotations

import os
import signal
from collections import Counter

ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def _read(text: str) -> dict[str, tuple[signal.Signals, int]]:
    """The plan: which signal at which passing of each point, counted from 1."""
    plan = {}
    for entry in filter(None, text.split(",")):
        point, _, what = entry.partition("=")
        action, _, times = what.partition("@")
        plan[point] = (ACTIONS[action], int(times or 1))
    return plan


_plan = _read(os.environ.get("PORTAL_FAILPOINTS", ""))
_passed: Counter[str] = Counter()


def _act(point: str) -> None:
    _passed[point] += 1
    action = _plan.get(point)
    if action is not None and _passed[point] == action[1]:
        os.kill(os.getpid(), action[0])


def _nothing(point: str) -> None:
    """What passing a point costs otherwise: one call."""


hit = _act if _plan else _nothing
