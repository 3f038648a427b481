"""What every process is made of: opened once at its start, passed down, closed at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from portal.access import KeyCache
from portal.access.check_secret import check_secret
from portal.access.trials import Trials
from portal.db import Database, Revisions
from portal.db.version import require_migrated, until_migrated
from portal.delivery.stops import Stops
from portal.kv import Kv, connect
from portal.message_templates import Renderer, Templates
from portal.plugin_loader import Registry, load
from portal.preferences.categories import Categories
from portal.providers import Accounts, Guard
from portal.providers.seed import seed
from portal.queues import Bell
from portal.runtime.installation import find_running
from portal.sealing import Keyring
from portal.settings import Settings

log = logging.getLogger(__name__)


class Parts(Struct, frozen=True):
    """The parts of one process. The caches renew themselves while it lives."""

    settings: Settings
    db: Database
    revisions: Revisions
    kv: Kv
    bell: Bell
    registry: Registry
    keyring: Keyring
    keys: KeyCache
    templates: Templates
    renderer: Renderer
    accounts: Accounts
    categories: Categories
    stops: Stops
    trials: Trials


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Open everything and fill the caches; close it when the block ends. The database must be migrated.

    Raises `SettingsError` for a wrong secret key and `Unavailable` when the database does not answer.
    """
    db = Database(settings.database, pool=settings.database_pool)
    kv = connect(redis_url(settings))
    revisions = Revisions(db)
    registry = load(settings)
    keyring = Keyring.from_settings(settings)
    renderer = Renderer()
    accounts = Accounts(db, registry, keyring, revisions, guard=Guard(settings.egress_allow))
    parts = Parts(
        settings=settings,
        db=db,
        revisions=revisions,
        kv=kv,
        bell=Bell(kv),
        registry=registry,
        keyring=keyring,
        keys=KeyCache(db, revisions),
        templates=Templates(db, revisions),
        renderer=renderer,
        accounts=accounts,
        categories=Categories(db, revisions),
        stops=Stops(db, revisions),
        trials=Trials(db, revisions),
    )
    try:
        await until_migrated(db, settings.migration_wait_seconds)
        await require_migrated(db)
        await check_secret(db, keyring)
        await db.transact(seed, registry)
        for cache in (parts.keys, parts.templates, accounts, parts.categories, parts.stops, parts.trials):
            await cache.load()
        await revisions.start()
        await kv.start()
        yield parts
    finally:
        await asyncio.gather(revisions.stop(), kv.close(), accounts.close(), renderer.close(), return_exceptions=True)
        await db.close()


def redis_url(settings: Settings) -> str | None:
    """The Redis to use: the one that is set, else the embedded one of the installation that runs on the data folder."""
    if settings.redis_url:
        return settings.redis_url
    running = find_running(settings.data_path)
    return running.redis_url or None if running else None
