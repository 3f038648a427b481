"""`portal up`: everything on one machine, with embedded defaults for what is not set."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import func, select

from portal.access import User
from portal.db import Database
from portal.ops.keys import create as create_key
from portal.ops.users import create as create_user
from portal.runtime import Child, EmbeddedValkey, Installation, Supervisor, hold, logs
from portal.sealing import Keyring
from portal.settings import Settings

FIRST_ADMINISTRATOR = "admin@portal.test"
PROBE_SECONDS = 1.0
MIGRATION_SECONDS = 300

log = logging.getLogger("portal.up")


def up(settings: Settings) -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit code. Raises `Conflict` when the data folder is in use."""
    logs.configure(settings.log_level, as_json=settings.log_json)
    with hold(
        settings.data_path, address=settings.base_url, database_url=settings.database, redis_url=settings.redis_url
    ) as installation:
        # A generated secret key is said at the start, before any child could make another.
        Keyring.from_settings(settings)
        embedded = None if settings.redis_url else EmbeddedValkey(settings.data_path)
        try:
            return asyncio.run(_run(settings, installation, embedded))
        finally:
            if embedded is not None:
                embedded.close()


async def _run(settings: Settings, installation: Installation, embedded: EmbeddedValkey | None) -> int:
    environment = _environment(settings, embedded)
    children = [] if embedded is None else [embedded.child()]
    if embedded is not None:
        installation.publish(redis_url=embedded.url, socket_dir=str(embedded.socket_dir))
    command = [sys.executable, "-m", "portal.cli"]
    for number in range(1, settings.worker_processes + 1):
        name = "worker" if settings.worker_processes == 1 else f"worker-{number}"
        # Longer than the drain, so that what is in hand is handed back and not killed.
        stop = min(settings.drain_seconds + 1, 8.0)
        children.append(Child(name=name, argv=[*command, "worker"], stage=1, env=environment, stop_seconds=stop))
    children.append(Child(name="web", argv=[*command, "serve"], stage=2, env=environment, ready=_answers(settings)))
    welcome: list[asyncio.Task[None]] = []
    supervisor = Supervisor(
        children,
        on_ready=lambda: welcome.append(asyncio.create_task(_welcome(settings))),
        changed=lambda running: installation.publish(children=running),
    )
    running = asyncio.create_task(supervisor.run())
    # Beside the children's own start, which waits for it: importing is what a start takes longest for.
    migrating = asyncio.create_task(asyncio.to_thread(_migrate, settings.database))
    await asyncio.wait({migrating, running}, return_when=asyncio.FIRST_COMPLETED)
    if migrating.done() and migrating.exception() is not None:
        supervisor.stop()
        await running
    elif running.done():
        migrating.cancel()
        return running.result()
    await migrating
    return await running


def _migrate(url: str) -> None:
    from portal.db.migrate import upgrade

    asyncio.run(upgrade(url))


def _environment(settings: Settings, embedded: EmbeddedValkey | None) -> dict[str, str]:
    """What the children must know that is not in their environment already."""
    environment = {"PORTAL_DATA_DIR": str(settings.data_path), "PORTAL_MIGRATION_WAIT_SECONDS": str(MIGRATION_SECONDS)}
    if embedded is not None:
        environment["PORTAL_REDIS_URL"] = embedded.url
    return environment


def _answers(settings: Settings) -> Callable[[], Awaitable[bool]]:
    """Whether the web server answers on its port."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "") else "::1" if settings.host == "::" else settings.host  # noqa: S104

    async def ask() -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reader, writer = await asyncio.open_connection(host, settings.port)
                writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                status = await reader.readline()
                writer.close()
                return b" 200 " in status
        except (OSError, TimeoutError):
            return False

    return ask


async def _welcome(settings: Settings) -> None:
    """Say where it is; at the first start also how to get in, a key to try, and something to look at."""
    try:
        first = not await _has_users(settings)
        _say(["", f"  Push Portal is ready: {settings.base_url}", *await _how_to_get_in(settings, first), ""])
        if first and os.environ.get("DEMO", "1") != "0":
            await _demo(settings)
            _say(["  The demo is loaded: templates, people, groups and a week of traffic (DEMO=0 leaves it out).", ""])
    except Exception:
        log.exception("the first start could not be finished; run `portal users create` and `portal keys create`")


async def _demo(settings: Settings) -> None:
    from portal.ops.demo import load_demo
    from portal.parts import open_parts

    async with open_parts(settings) as parts:
        await load_demo(parts)


async def _has_users(settings: Settings) -> bool:
    db = Database(settings.database, pool=2)
    try:
        async with db.read() as conn:
            return bool((await conn.execute(select(func.count()).select_from(User))).scalar_one())
    finally:
        await db.close()


async def _how_to_get_in(settings: Settings, first: bool) -> list[str]:
    if not first:
        return ["  Sign in there; `portal users create EMAIL` makes a new one-time link.", "  Ctrl-C stops it."]
    link = await create_user(settings, FIRST_ADMINISTRATOR, ["admin"])
    key = await create_key(settings, "first key", application="default", scopes=[], test=False)
    return [
        f"  Sign in once, within a day:  {link}",
        f"  An API key to try:           {key}",
        f"  Everything is kept in:       {settings.data_path}",
        "  Ctrl-C stops it.",
    ]


def _say(lines: Sequence[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
