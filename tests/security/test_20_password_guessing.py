"""Security row 20: guessing a password is slowed whatever address it comes from, and no account exists by default."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import extract_parameters
from sqlalchemy import select, update

from portal.access import User
from portal.errors import InvalidInput, TooMany
from portal.identity import passwords
from portal.identity.models import SignInFailure
from portal.identity.passwords import check_password
from portal.identity.sign_in import sign_in_by_password
from portal.identity.throttle import FREE, LONGEST_SECONDS, wait_after
from portal.identity.users import count_users
from tests.web_peer import PASSWORD, WebPeer

pytestmark = pytest.mark.databases("sqlite")


async def _try(web: WebPeer, password: str, *, email: str = "ada@example.com", address: str = "192.0.2.1") -> str:
    try:
        await sign_in_by_password(web.db, web.keyring, email, password, address=address, user_agent="")
    except TooMany:
        return "slowed"
    except InvalidInput:
        return "wrong"
    return "in"


async def test_rotating_addresses_does_not_help(web: WebPeer) -> None:
    await web.user("ada@example.com", "admin", password=PASSWORD)
    tries = [await _try(web, f"guess number {n}", address=f"192.0.2.{n}") for n in range(FREE["account"] + 3)]
    assert tries == ["wrong"] * FREE["account"] + ["slowed"] * 3
    assert await _try(web, PASSWORD, address="198.51.100.7") == "slowed"


async def test_one_address_cannot_try_many_accounts(web: WebPeer) -> None:
    tries = [await _try(web, "x" * 12, email=f"user{n}@example.com") for n in range(FREE["address"] + 1)]
    assert tries == ["wrong"] * FREE["address"] + ["slowed"]


async def test_the_right_password_works_when_the_wait_is_over_and_clears_the_account(web: WebPeer) -> None:
    await web.user("ada@example.com", "admin", password=PASSWORD)
    for n in range(FREE["account"] + 1):
        await _try(web, f"guess {n}")
    async with web.db.write() as conn:
        await conn.execute(update(SignInFailure).values(blocked_until=datetime.now(UTC) - timedelta(seconds=1)))
    assert await _try(web, PASSWORD) == "in"
    async with web.db.read() as conn:
        left = [row.key for row in (await conn.execute(select(SignInFailure.key))).all()]
    assert [key for key in left if key.startswith("account:")] == []


async def test_a_one_time_link_works_while_the_account_is_slowed(web: WebPeer) -> None:
    from portal.identity import create_user

    path = await create_user(web.db, "ada@example.com", ["admin"])
    for n in range(FREE["account"] + 1):
        await _try(web, f"guess {n}")
    answer = await web.browser().post("/sign-in/link", {"token": path.partition("token=")[2]})
    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(4, 0), (5, 1), (6, 2), (9, 16), (14, 512), (15, LONGEST_SECONDS), (5000, LONGEST_SECONDS)],
)
def test_the_wait_doubles_up_to_a_quarter_of_an_hour(failures: int, seconds: float) -> None:
    assert wait_after(failures, 5) == seconds


async def test_concurrent_guesses_are_all_counted(web: WebPeer) -> None:
    await asyncio.gather(*(_try(web, f"guess {n}") for n in range(10)))
    async with web.db.read() as conn:
        wanted = select(SignInFailure.failures).where(SignInFailure.key.startswith("account:"))
        assert (await conn.execute(wanted)).scalar_one() == 10


async def test_passwords_are_argon2id_with_the_parameters_of_rfc_9106(web: WebPeer) -> None:
    await web.user("ada@example.com", "admin", password=PASSWORD)
    async with web.db.read() as conn:
        stored = (await conn.execute(select(User.password_hash))).scalar_one()
    assert stored is not None
    assert stored.startswith("$argon2id$")
    facts = extract_parameters(stored)
    assert (facts.memory_cost, facts.time_cost, facts.parallelism) == (65536, 3, 4)
    assert PASSWORD not in stored


async def test_hashing_many_at_once_is_refused_instead_of_filling_the_memory(web: WebPeer) -> None:
    done = await asyncio.gather(
        *(_try(web, "x" * 12, address=f"10.0.0.{n}") for n in range(40)), return_exceptions=True
    )
    assert done.count("slowed") >= 40 - passwords.WAITING - FREE["account"]


async def test_nobody_can_sign_in_to_a_fresh_installation(web: WebPeer) -> None:
    async with web.db.read() as conn:
        assert await count_users(conn) == 0
    for email, password in (("admin@example.com", "admin"), ("admin", "admin"), ("root@localhost", "changeme")):
        assert await _try(web, password, email=email) == "wrong"


@pytest.mark.parametrize(
    "password",
    ["short", "elevenchars", "aaaaaaaaaaaaaaa", "password123456", "Administrator2026!", "ada@example.com", "x" * 257, "abababababab"],
)  # fmt: skip
def test_a_password_that_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput):
        check_password(password, "ada@example.com", "Ada")


@pytest.mark.parametrize(
    "password", [PASSWORD, "correct horse battery", "пароль из четырёх слов", "长一点的密码也可以用的吧好"]
)
def test_a_long_password_of_any_script_is_taken(password: str) -> None:
    check_password(password, "ada@example.com", "Ada")
