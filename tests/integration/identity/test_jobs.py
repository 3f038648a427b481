"""Housekeeping takes what is dead and leaves what lives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from portal.identity import create_user
from portal.identity.jobs import tidy
from portal.identity.models import SignInFailure, SignInLink
from portal.identity.throttle import keys_for, note_failure
from portal.web.models import Session
from tests.web_peer import WebPeer


async def _counts(web: WebPeer) -> list[int]:
    async with web.db.read() as conn:
        tables = (Session, SignInLink, SignInFailure)
        return [(await conn.execute(select(func.count()).select_from(table))).scalar_one() for table in tables]


async def test_only_the_dead_are_taken(web: WebPeer) -> None:
    await web.signed_in(await web.user("ada@example.com"))
    await create_user(web.db, "bob@example.com", ["viewer"])
    await web.db.transact(note_failure, keys_for(web.keyring, "ada@example.com", "192.0.2.1"))
    await tidy(web.db)
    assert await _counts(web) == [1, 1, 2]
    past = datetime.now(UTC) - timedelta(days=30)
    async with web.db.write() as conn:
        await conn.execute(update(Session).values(last_seen_at=past))
        await conn.execute(update(SignInLink).values(expires_at=past))
        await conn.execute(update(SignInFailure).values(last_at=past))
    await tidy(web.db)
    assert await _counts(web) == [0, 0, 0]


@pytest.mark.databases("sqlite")
async def test_an_empty_database_is_tidy(web: WebPeer) -> None:
    await tidy(web.db)
