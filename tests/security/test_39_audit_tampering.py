"""Security row 39: whoever changes the audit by SQL is found, and the first bad entry is named."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.access.actor import SYSTEM
from portal.audit import record, seal_pending, verify
from portal.audit.chain import entry_hash
from portal.audit.models import AuditEntry, AuditHead
from portal.db import Database, new_id
from portal.sealing import Keyring

KEYRING = Keyring([bytes(range(32))])
Tampering = Callable[[AsyncConnection], Awaitable[object]]


async def _write(db: Database, count: int) -> None:
    for n in range(count):
        async with db.write() as conn:
            await record(conn, SYSTEM, "thing.change", f"thing/{n}", {"size": n}, {"size": n + 1, "名": "值"})


async def _sealed(db: Database) -> None:
    """Ten entries in three sealings."""
    for count in (3, 4, 3):
        await _write(db, count)
        assert await seal_pending(db, KEYRING) == count


def _change(seq: int, **values: object) -> Tampering:
    return lambda conn: conn.execute(update(AuditEntry).where(AuditEntry.seq == seq).values(**values))


def _remove(*seqs: int) -> Tampering:
    return lambda conn: conn.execute(delete(AuditEntry).where(AuditEntry.seq.in_(seqs)))


async def _swap(conn: AsyncConnection) -> None:
    rows = {row.seq: row.id for row in (await conn.execute(select(AuditEntry.seq, AuditEntry.id))).all()}
    for row_id, seq in ((rows[4], 999), (rows[5], 4), (rows[4], 5)):
        await conn.execute(update(AuditEntry).where(AuditEntry.id == row_id).values(seq=seq))


async def _put_in(conn: AsyncConnection) -> None:
    await conn.execute(update(AuditEntry).where(AuditEntry.seq == 10).values(seq=11))
    row = (await conn.execute(select(*AuditEntry.__table__.columns).where(AuditEntry.seq == 9))).one()
    await conn.execute(insert(AuditEntry).values(**{**row._mapping, "id": new_id(), "seq": 10}))


async def _rechain_from_five(conn: AsyncConnection) -> None:
    """A thorough attacker: change an entry and compute every hash after it anew."""
    await conn.execute(update(AuditEntry).where(AuditEntry.seq == 5).values(actor_name="somebody else"))
    columns = AuditEntry.__table__.columns
    rows = (await conn.execute(select(*columns).where(AuditEntry.seq >= 4).order_by(AuditEntry.seq))).all()
    head = rows[0].hash
    assert head is not None
    for row in rows[1:]:
        head = entry_hash(head, row.seq, row)
        await conn.execute(update(AuditEntry).where(AuditEntry.id == row.id).values(hash=head))
        await conn.execute(update(AuditHead).where(AuditHead.seq == row.seq).values(hash=head))


@pytest.mark.parametrize(
    ("tampering", "named"),
    [
        (_change(5, action="thing.nothing"), "Entry 5"),
        (_change(1, actor_id=uuid4()), "Entry 1"),
        (_change(10, after={"size": 7}), "Entry 10"),
        (_change(6, before=None), "Entry 6"),
        (_change(3, hash="0" * 64), "Entry 3"),
        (_remove(4), "Entry 4 is missing"),
        (_remove(1), "Entry 1 is missing"),
        (_remove(10), "entries 10 to 10"),
        (_remove(8, 9, 10), "entries 8 to 10"),
        (_swap, "Entry 4"),
        (_put_in, "Entry 10"),
        (_rechain_from_five, "Entry 7"),
        (lambda conn: conn.execute(delete(AuditHead).where(AuditHead.seq == 10)), "no signed head"),
        (lambda conn: conn.execute(update(AuditHead).where(AuditHead.seq == 7).values(signature="00")), "Entry 7"),
    ],
    ids=["action", "actor", "value", "nulled", "hash", "middle", "first", "last", "tail", "swap", "insert", "rechained", "headless", "unsigned"],
)  # fmt: skip
@pytest.mark.databases("sqlite")
async def test_tampering_is_found_and_named(db: Database, tampering: Tampering, named: str) -> None:
    await _sealed(db)
    assert (await verify(db, KEYRING)).broken == ""
    async with db.write() as conn:
        await tampering(conn)
    assert named in (await verify(db, KEYRING)).broken


async def test_a_whole_chain_verifies_on_every_database(db: Database) -> None:
    await _sealed(db)
    await _write(db, 2)
    verdict = await verify(db, KEYRING)
    assert (verdict.broken, verdict.entries, verdict.heads, verdict.unsealed) == ("", 10, 3, 2)
    assert 0 <= verdict.unsealed_seconds < 60


@pytest.mark.databases("sqlite")
async def test_a_cut_end_is_found_with_a_head_that_was_kept_elsewhere(db: Database) -> None:
    await _sealed(db)
    kept = await verify(db, KEYRING)
    async with db.write() as conn:
        await conn.execute(delete(AuditEntry).where(AuditEntry.seq > 7))
        await conn.execute(delete(AuditHead).where(AuditHead.seq > 7))
    # The database alone cannot know; that is why each head goes to the log too.
    assert (await verify(db, KEYRING)).broken == ""
    assert "entries 8 to 10" in (await verify(db, KEYRING, (kept.last_seq, kept.last_hash))).broken
    assert "Entry 7" in (await verify(db, KEYRING, (7, "f" * 64))).broken


@pytest.mark.databases("sqlite")
async def test_another_installation_cannot_sign_our_heads(db: Database) -> None:
    await _sealed(db)
    assert "Entry 3" in (await verify(db, Keyring([bytes(32)]))).broken


@pytest.mark.databases("sqlite")
async def test_heads_signed_before_a_rotation_still_count(db: Database) -> None:
    await _sealed(db)
    assert (await verify(db, Keyring([bytes(32), bytes(range(32))]))).broken == ""


async def test_two_sealers_at_once_make_one_chain(db: Database) -> None:
    await _write(db, 12)
    sealed = await asyncio.gather(*(seal_pending(db, KEYRING) for _ in range(4)))
    assert sum(sealed) == 12
    verdict = await verify(db, KEYRING)
    assert (verdict.broken, verdict.entries) == ("", 12)


@pytest.mark.databases("sqlite")
async def test_an_entry_is_there_exactly_when_its_change_is(db: Database) -> None:
    async def fail_after_writing() -> None:
        async with db.write() as conn:
            await record(conn, SYSTEM, "thing.change", "thing/1")
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError, match="the change failed"):
        await fail_after_writing()
    assert await seal_pending(db, KEYRING) == 0


@pytest.mark.databases("sqlite")
async def test_values_that_are_named_like_secrets_are_not_written_down(db: Database) -> None:
    async with db.write() as conn:
        await record(
            conn, SYSTEM, "account.change", "a/1", None, {"api_token": "canary", "deep": {"password": "canary"}}
        )
    async with db.read() as conn:
        row = (await conn.execute(select(AuditEntry.after))).one()
    assert "canary" not in repr(row.after)
