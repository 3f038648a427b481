"""When a key was last used is written behind, never backwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from portal.access import ApiKey, KeyCache, create_key
from portal.access.applications import ensure_application
from portal.access.key_cache import saving_use
from portal.db import Database, Revisions


async def test_use_is_saved_at_the_latest_when_the_process_ends(db: Database) -> None:
    revisions = Revisions(db)
    keys = KeyCache(db, revisions)
    await revisions.poll()
    async with db.write() as conn:
        used, key = await create_key(conn, await ensure_application(conn, "shop"), "a", "live", ["audit:read"])
        idle, _ = await create_key(conn, await ensure_application(conn, "shop"), "b", "live", ["audit:read"])
    async with saving_use(keys):
        assert await keys.look_up(key)
    async with db.read() as conn:
        rows = (await conn.execute(select(ApiKey.id, ApiKey.last_used_at))).all()
    at = {row.id: row.last_used_at for row in rows}
    assert at[idle] is None
    last = at[used]
    assert last is not None
    assert abs(datetime.now(UTC) - last) < timedelta(seconds=30)


async def test_an_older_process_does_not_turn_the_time_back(db: Database) -> None:
    revisions = Revisions(db)
    keys = KeyCache(db, revisions)
    await revisions.poll()
    future = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    async with db.write() as conn:
        key_id, key = await create_key(conn, await ensure_application(conn, "shop"), "a", "live", ["audit:read"])
        await conn.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=future))
    assert await keys.look_up(key)
    await keys.save_use()
    async with db.read() as conn:
        assert (await conn.execute(select(ApiKey.last_used_at))).scalar_one() == future
