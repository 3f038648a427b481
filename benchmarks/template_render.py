"""How fast published templates render in process, how fast contracts check, and how soon a runaway draft is killed.

    python -m benchmarks.template_render [--seconds 2] [--kills 10]

Prints a table and, as its last line, the same figures as JSON. Every figure is the median of five runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from portal.message_templates.build import BuildRequest, PartKind, RenderRequest
from portal.message_templates.contract import Checker, Contract
from portal.message_templates.killable import Killable, Stopped
from portal.message_templates.render import Content, Renderer, VersionEntry

RUNS = 5
KINDS = {
    "sms": {"text": PartKind()},
    "email": {"subject": PartKind("text", True), "text": PartKind(), "html": PartKind("html")},
}
PARTS = {
    "sms": {"en": {"text": "Your code is {{ code }}. It is valid for {{ minutes }} minutes."}},
    "email": {
        "en": {
            "subject": "Order {{ number }} is on its way",
            "html": "<style>td { padding: 4px } h1 { color: #223 }</style><h1>Dear {{ name }}</h1><table>"
            "{% for line in lines %}<tr><td>{{ line.title }}</td><td>{{ line.price|currency('EUR') }}</td></tr>{% endfor %}"
            "</table>{% if note %}<p>{{ note }}</p>{% endif %}",
        }
    },
}
SMS = {"code": "123456", "minutes": 5}
MAIL = {
    "number": 4711,
    "name": "Ada",
    "lines": [{"title": f"Item {n}", "price": 9.5} for n in range(10)],
    "note": "Bye",
}
RUNAWAY = "{% for a in range(1000) %}{% for b in range(1000) %}{% set c = a * b %}{% endfor %}{% endfor %}" * 60


def rate(call: Callable[[], Any], seconds: float) -> float:
    """Calls per second, the median of the runs."""
    return statistics.median(_one_rate(call, seconds / RUNS) for _ in range(RUNS))


def _one_rate(call: Callable[[], Any], seconds: float) -> float:
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        for _ in range(100):
            call()
        done += 100
    return done / elapsed


async def measure(seconds: float, kills: int) -> dict[str, float]:
    """Every figure by name."""
    killable = Killable(1)
    built = await killable.build(BuildRequest(parts=PARTS, kinds=KINDS))
    checkers = {channel: await _checker(killable, channel) for channel in PARTS}
    figures = {
        "kill_overshoot_ms_median": statistics.median([await kill(killable) for _ in range(kills)]),
        "preview_in_child_per_second": await previews(killable, seconds),
    }
    await killable.close()
    renderer = Renderer()
    nobody = UUID(int=0)
    version = VersionEntry(
        id=nobody,
        template_id=nobody,
        key="bench",
        n=1,
        contract=Checker(built.contract),
        channels=frozenset(PARTS),
        default_locale="en",
        content=Content(built.parts, KINDS, "en"),
    )
    for channel, data in (("sms", SMS), ("email", MAIL)):
        render = partial(renderer.render, version, channel, "en-GB", data)
        figures[f"{channel}_renders_per_second"] = rate(render, seconds)
        figures[f"{channel}_checks_per_second"] = rate(partial(checkers[channel].check, data), seconds)
    return figures


async def _checker(killable: Killable, channel: str) -> Checker:
    request = BuildRequest(parts={channel: PARTS[channel]}, kinds=KINDS)
    contract: Contract = (await killable.build(request)).contract
    return Checker(contract)


async def kill(killable: Killable, seconds: float = 0.2) -> float:
    """Milliseconds from the end of the allowed time until the runaway's process is gone and its caller knows."""
    await preview(killable)
    request = {"text": RUNAWAY}
    started = time.perf_counter()
    try:
        await killable.render(_render(request), seconds=seconds)
    except Stopped:
        return (time.perf_counter() - started - seconds) * 1000
    raise AssertionError("the runaway ended by itself")


def _render(parts: dict[str, str]) -> RenderRequest:
    return RenderRequest(parts=parts, kinds=KINDS["sms"], data=SMS, steps=10**15)


async def preview(killable: Killable) -> None:
    """One harmless render in a child."""
    await killable.render(_render(PARTS["sms"]["en"]))


async def previews(killable: Killable, seconds: float) -> float:
    """Renders per second in one child, one after the other."""
    await preview(killable)
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds / 2:
        await preview(killable)
        done += 1
    return done / elapsed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="per figure")
    parser.add_argument("--kills", type=int, default=10)
    given = parser.parse_args()
    figures = asyncio.run(measure(given.seconds, given.kills))
    for name, value in figures.items():
        print(f"{name:32} {value:>12,.1f}")
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
