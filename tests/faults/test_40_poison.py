"""Fault 40: one notification ends every process that works on it."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from sqlalchemy import select

from portal.ledger.counts import balance
from portal.ledger.models import Notification
from tests.faults.harness import SECRET, Report, Site, site

pytestmark = [pytest.mark.alone, pytest.mark.timeout(1200)]

PLUGIN = '''
"""A provider that ends its process for one message."""

import os

from plugins.webhook.provider import SignedPost
from portal.sdk import Context, Message, Receipt, hookimpl


class Poisoned(SignedPost):
    """Like the webhook, but for the poison."""

    name = "poisoned"
    title = "Poisoned"

    async def send(self, message: Message, ctx: Context) -> Receipt:
        """Abort before the poison is sent."""
        if "poison" in message.parts["body"]:
            os.abort()
        return await super().send(message, ctx)


@hookimpl
def register_providers():
    return [Poisoned]
'''
TOML = 'name = "poisoned"\ntitle = "Poisoned"\nversion = "1"\nsdk = 1\n'
COUNT = 16


@pytest.mark.databases("postgresql")
async def test_the_poison_is_isolated_and_its_neighbours_live(
    empty_database_url: str, database_kind: str, tmp_path: Path, report: Report
) -> None:
    plugins = _plugins(tmp_path / "plugins")
    settings = {"plugins_dir": plugins, "plugins": "webhook,sandbox,poisoned", "lease_seconds": 1.5}
    async with site(tmp_path / "site", empty_database_url, workers=0, **settings) as running:
        for step in (await running.call("GET", "/api/v1/routes"))["items"]:
            await running.call("DELETE", f"/api/v1/routes/{step['id']}")
        account = {"provider": "poisoned", "settings": {"secret": SECRET, "https_only": False}}
        await running.add_account("poisoned", position=2, **account)
        to = {"channel": "webhook", "address": running.vendor.url()}
        items = [{"template": "note", "to": to, "data": {"n": f"n-{n}"}, "priority": "high"} for n in range(COUNT)]
        items[COUNT // 3]["data"] = {"n": "poison"}
        await running.call("POST", "/api/v1/notifications/bulk", items)
        crashes = await _until_quiet(running)
        async with running.db.read() as conn:
            rows = (await conn.execute(select(Notification.status, Notification.reason))).all()
            books = await balance(conn)
        heard = [line["n"] for line in running.vendor.heard]
        bound = math.ceil(math.log2(COUNT)) + 3
        report.add(
            40, database_kind, accepted=COUNT, crashes_to_isolate=crashes, bound=bound,
            neighbours_lost=COUNT - 1 - sum(row.status == "sent" for row in rows),
            repeated=len(heard) - len(set(heard)), balance_difference=books.difference,
        )  # fmt: skip
    assert sorted(tuple(row) for row in rows) == [("failed", "crashed")] + [("sent", None)] * (COUNT - 1)
    assert set(heard) == {f"n-{n}" for n in range(COUNT)} - {f"n-{COUNT // 3}"}
    assert crashes <= bound
    assert books.difference == 0


async def _until_quiet(running: Site) -> int:
    """Start a worker again and again until nothing is in flight; how often one ended."""
    crashes = 0
    running.start_worker("worker")
    for _ in range(2400):
        if running.processes["worker"].poll() is not None:
            crashes += 1
            running.start_worker("worker")
        async with running.db.read() as conn:
            if (await balance(conn)).in_flight == 0:
                return crashes
        await asyncio.sleep(0.1)
    raise AssertionError(f"still in flight after {crashes} crashes:\n{running.logs()}")


def _plugins(folder: Path) -> Path:
    """A folder with the poisoned plugin; those that are installed are found beside it."""
    (folder / "poisoned").mkdir(parents=True)
    (folder / "poisoned" / "__init__.py").write_text(PLUGIN)
    (folder / "poisoned" / "plugin.toml").write_text(TOML)
    return folder
