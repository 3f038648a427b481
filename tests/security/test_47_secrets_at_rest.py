"""Security row 47: sealed values open only with their key, in their place, and rotation needs no pause."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from portal.access.check_secret import check_secret, retire_keys
from portal.access.models import KeyCheck
from portal.db import Database
from portal.errors import SettingsError
from portal.sealing import Keyring, WrongKey, make_secret_key
from portal.settings import Settings

PLACE = {"table": "provider_account", "row": "1", "field": "sealed"}
OLD, NEW, OTHER = (bytes([n]) * 32 for n in (1, 2, 3))


def test_a_dump_without_the_key_is_unreadable() -> None:
    sealed = Keyring([OLD]).seal(b"the vendor's token", **PLACE)
    assert b"token" not in sealed
    with pytest.raises(WrongKey):
        Keyring([OTHER]).open(sealed, **PLACE)


@pytest.mark.parametrize("moved", [{"table": "route"}, {"row": "2"}, {"field": "settings"}])
def test_a_value_opens_only_where_it_was_sealed(moved: dict[str, str]) -> None:
    keyring = Keyring([OLD])
    sealed = keyring.seal(b"x", **PLACE)
    assert keyring.open(sealed, **PLACE) == b"x"
    with pytest.raises(WrongKey):
        keyring.open(sealed, **{**PLACE, **moved})


def test_any_flipped_bit_is_found() -> None:
    keyring = Keyring([OLD])
    sealed = keyring.seal(b"secret", **PLACE)
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(WrongKey):
            keyring.open(bytes(broken), **PLACE)
    for cut in (b"", sealed[:4], sealed[:16], sealed[:-1]):
        with pytest.raises(WrongKey):
            keyring.open(cut, **PLACE)


def test_the_same_value_is_never_sealed_alike() -> None:
    keyring = Keyring([OLD])
    assert len({keyring.seal(b"x", **PLACE) for _ in range(100)}) == 100


def test_rotation_opens_the_old_while_it_seals_with_the_new() -> None:
    before, during, after = Keyring([OLD]), Keyring([NEW, OLD]), Keyring([NEW])
    sealed = before.seal(b"token", **PLACE)
    assert during.open(sealed, **PLACE) == b"token"
    renewed = during.reseal(sealed, **PLACE)
    assert renewed is not None
    assert after.open(renewed, **PLACE) == b"token"
    assert during.reseal(renewed, **PLACE) is None


def test_purposes_have_keys_of_their_own_and_hashes_outlive_rotation() -> None:
    before, during = Keyring([OLD]), Keyring([NEW, OLD])
    purposes = ("sessions", "links", "audit", "hashes")
    assert len({before.derive(purpose) for purpose in purposes}) == 4
    assert before.derive("hashes") == during.derive("hashes")
    assert before.derive("sessions") != during.derive("sessions")
    assert before.derive("sessions") in during.derive_all("sessions")


async def test_another_key_refuses_the_start(db: Database) -> None:
    await check_secret(db, Keyring([OLD]))
    await check_secret(db, Keyring([OLD]))
    with pytest.raises(SettingsError, match="not given"):
        await check_secret(db, Keyring([OTHER]))
    with pytest.raises(SettingsError, match="last place"):
        await check_secret(db, Keyring([OLD, OTHER]))


@pytest.mark.databases("sqlite")
async def test_after_retiring_only_the_hash_key_of_the_old_ones_is_needed(db: Database) -> None:
    await check_secret(db, Keyring([OLD]))
    await check_secret(db, Keyring([NEW, OLD]))
    async with db.write() as conn:
        await retire_keys(conn, Keyring([NEW, OLD]))
    async with db.read() as conn:
        rows = (await conn.execute(select(KeyCheck.key_id, KeyCheck.purpose))).all()
    assert sorted(row.purpose for row in rows) == ["hash", "seal"]
    await check_secret(db, Keyring([NEW, OLD]))
    with pytest.raises(SettingsError):
        await check_secret(db, Keyring([NEW]))


def test_an_embedded_installation_makes_its_key_once_for_itself_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "data"))
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda _: Keyring.from_settings(settings).key_ids[0], range(8)))
    assert len(set(rings)) == 1
    file = tmp_path / "data" / "secret.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(file.parent) == ["secret.key"]  # noqa: PTH208 - hidden leftovers count
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        Keyring.from_settings(settings)


def test_a_shared_database_without_a_key_stops_the_start_and_says_how_to_make_one() -> None:
    with pytest.raises(SettingsError, match="python3 -c") as caught:
        Keyring.from_settings(Settings(database_url="postgresql://localhost/x"))
    command = str(caught.value).partition("python3 -c '")[2].rstrip("'")
    compile(command, "command", "exec")


@pytest.mark.parametrize("text", ["not base64!", "c2hvcnQ=", "", ","])
def test_a_malformed_key_names_the_setting(text: str) -> None:
    with pytest.raises(SettingsError, match="PORTAL_SECRET_KEY"):
        Keyring.from_settings(Settings(secret_key=text, database_url="postgresql://localhost/x"))


def test_a_made_key_is_taken(tmp_path: Path) -> None:
    assert Keyring.from_settings(Settings(secret_key=f"{make_secret_key()},{make_secret_key()}")).key_ids
