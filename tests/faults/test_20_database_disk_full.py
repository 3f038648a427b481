"""Fault 20: the disk under the database is full."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import have
from tests.faults.harness import Clients, Report, assert_safe, check, site, until
from tests.faults.servers import Postgres, small_disk
from tests.services import temporary_folder

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


async def test_a_full_disk_is_answered_by_503_and_forgotten_when_freed(tmp_path: Path, report: Report) -> None:
    with have(lambda: small_disk(temporary_folder("disk"), megabytes=200)) as disk:
        server = await asyncio.to_thread(have, lambda: Postgres(disk.path / "pg"))
        await asyncio.to_thread(server.start)
        try:
            async with site(tmp_path / "site", server.url, workers=1) as running:
                clients = Clients(running)
                clients.start()
                await until(lambda: len(clients.accepted) > 10, "nothing is accepted")
                # Whole WAL segments are reserved ahead: it may take a while until the database notices.
                disk.fill()
                noticed = await until(lambda: await_more(clients), "the full disk is not noticed", 90)
                disk.free()
                before = len(clients.accepted)
                if server.process is not None and server.process.poll() is not None:
                    await asyncio.to_thread(server.start)
                back = await until(lambda: len(clients.accepted) > before + 5, "accepting does not resume", 60)
                await clients.stop()
                verdict = await check(running, clients)
                report.add(
                    20, "postgresql", verdict, noticed_s=round(noticed, 1), back_s=round(back, 1),
                    statuses=clients.statuses,
                )  # fmt: skip
        finally:
            server.end()
    assert_safe(verdict)
    assert clients.statuses[503] > 0
    assert set(clients.statuses) <= {202, 409, 503}


def await_more(clients: Clients) -> bool:
    """Whether some requests have been refused."""
    return clients.statuses[503] > 5
