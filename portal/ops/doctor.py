"""The doctor: what would break a promise, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from msgspec import Struct
from redis.exceptions import RedisError
from sqlalchemy import select, text

from portal.access.check_secret import check_secret
from portal.db import Database, db_now
from portal.db.version import at, newest
from portal.errors import PortalError
from portal.kv import Kv
from portal.parts import redis_url
from portal.plugin_loader import load
from portal.sealing import Keyring
from portal.settings import Settings

CLOCK_SECONDS = 2.0


class Finding(Struct, frozen=True):
    """One thing that was looked at. `remedy` is empty when all is well; `bad` when a promise is broken."""

    what: str
    found: str
    remedy: str = ""
    bad: bool = False

    def line(self) -> str:
        """For a terminal."""
        mark = "✗" if self.bad else "!" if self.remedy else "✓"
        return f"{mark} {self.what}: {self.found}" + (f"\n    {self.remedy}" if self.remedy else "")


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything once; nothing is changed."""
    findings = []
    db = Database(settings.database, pool=2)
    try:
        findings += [finding async for finding in _database(db, settings)]
    finally:
        await db.close()
    findings += [finding async for finding in _redis(settings)]
    findings += _plugins(settings)
    return findings


async def _database(db: Database, settings: Settings) -> AsyncIterator[Finding]:
    try:
        await db.ping()
    except PortalError:
        yield Finding("database", "does not answer", "Start it, or correct PORTAL_DATABASE_URL.", bad=True)
        return
    yield Finding("database", f"{db.dialect} answers")
    found, needed = await at(db), newest()
    if found != needed:
        yield Finding("migrations", f"at {found or 'none'}, needed {needed}", "Run `portal migrate`.", bad=True)
        return
    yield Finding("migrations", "current")
    yield await durability(db)
    yield await _clock(db)
    try:
        await check_secret(db, Keyring.from_settings(settings))
        yield Finding("secret key", "opens what this database holds")
    except PortalError as error:
        yield Finding("secret key", error.message, "Give the key that sealed the database.", bad=True)


async def durability(db: Database) -> Finding:
    """Whether a commit survives a power cut, as a 202 promises."""
    async with db.read() as conn:
        if db.dialect == "postgresql":
            values = {
                name: (await conn.execute(text(f"SHOW {name}"))).scalar() for name in ("fsync", "synchronous_commit")
            }
            weak = values["fsync"] != "on" or values["synchronous_commit"] == "off"
            remedy = "Set fsync = on and synchronous_commit = on: a 202 promises a durable commit."
        elif db.dialect == "mariadb":
            row = (await conn.execute(text("SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite"))).one()
            values = {"innodb_flush_log_at_trx_commit": str(row[0]), "innodb_doublewrite": str(row[1])}
            weak = str(row[0]) != "1"
            remedy = "Set innodb_flush_log_at_trx_commit = 1: a 202 promises a durable commit."
        else:
            level = (await conn.execute(text("PRAGMA synchronous"))).scalar()
            values = {"synchronous": str(level)}
            weak = int(level or 0) < 2
            remedy = "Open the file with synchronous = FULL."
    shown = ", ".join(f"{name}={value}" for name, value in values.items())
    return Finding("durability", shown, remedy if weak else "", bad=weak)


async def _clock(db: Database) -> Finding:
    """The difference between this machine's clock and the database's, half a round trip taken off."""
    started = time.monotonic()
    async with db.read() as conn:
        theirs: datetime = (await conn.execute(select(db_now()))).scalar_one()
    skew = (theirs - datetime.now(UTC)).total_seconds() + (time.monotonic() - started) / 2
    remedy = "Synchronise the clocks (NTP): due times are taken from this one, leases from the database's."
    return Finding("clock", f"{skew:+.2f} s to the database", remedy if abs(skew) > CLOCK_SECONDS else "")


async def _redis(settings: Settings) -> AsyncIterator[Finding]:
    url = redis_url(settings)
    if not url:
        yield Finding(
            "redis", "not set and not running", "`portal up` brings one; delivery polls the database meanwhile."
        )
        return
    async with Kv(url) as kv:
        if not kv.up:
            yield Finding("redis", kv.sentence, "Start it, or correct PORTAL_REDIS_URL.")
            return
        yield Finding("redis", "answers and accepts writes")
        try:
            asked = {}
            for name in ("maxmemory-policy", "appendonly"):
                asked.update(await kv.client.config_get(name))
        except RedisError:
            yield Finding("redis settings", "may not be read with this user")
            return
        yield _memory_policy(str(asked.get("maxmemory-policy", "")))
        yield _persistence(str(asked.get("appendonly", "")))


def _memory_policy(policy: str) -> Finding:
    remedy = "Set maxmemory-policy noeviction: evicted hints come back only with the next sweep."
    return Finding("redis memory policy", policy, "" if policy == "noeviction" else remedy)


def _persistence(appendonly: str) -> Finding:
    remedy = "Set appendonly yes: after a restart the hints need not be rung again. Nothing is lost without it."
    return Finding("redis persistence", f"appendonly {appendonly}", "" if appendonly == "yes" else remedy)


def _plugins(settings: Settings) -> list[Finding]:
    findings = []
    for info in load(settings).plugins:
        if info.enabled and info.problem:
            findings.append(
                Finding(f"plugin {info.name}", info.problem, "Repair it, or take it out of PORTAL_PLUGINS.", bad=True)
            )
        elif info.enabled:
            findings.append(Finding(f"plugin {info.name}", "loaded", "; ".join(info.warnings)))
    return findings
