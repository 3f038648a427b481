"""Security row 21: nobody can tell by signing in whether somebody has an account."""

from __future__ import annotations

import re
import statistics
import time

import pytest

from portal.identity.passwords import hash_password, is_password
from portal.identity.sign_in import WRONG
from portal.identity.users import disable_user
from tests.web_peer import PASSWORD, WebPeer

pytestmark = pytest.mark.databases("sqlite")
CASES = ("unknown@example.com", "ada@example.com", "linkonly@example.com", "gone@example.com")


async def test_every_kind_of_failure_gets_the_same_answer(web: WebPeer) -> None:
    admin = await web.user("ada@example.com", "admin", password=PASSWORD)
    await web.user("linkonly@example.com", "admin")
    gone = await web.user("gone@example.com", "viewer", password=PASSWORD)
    await web.db.transact(disable_user, admin, gone.id)
    answers = set()
    for email in CASES:
        password = PASSWORD if email != "ada@example.com" else "not the password 12"
        answer = await web.browser().post("/sign-in", {"email": email, "password": password})
        text = re.sub(r"[0-9a-f]{64}", "TOKEN", answer.text).replace(email, "EMAIL")
        answers.add((answer.status_code, text))
    assert len(answers) == 1
    assert WRONG in answers.pop()[1]


async def test_an_unknown_account_takes_as_long_as_a_known_one() -> None:
    known = await hash_password(PASSWORD)

    async def seconds(of: str | None) -> float:
        started = time.perf_counter()
        await is_password(of, "some guess 1234")
        return time.perf_counter() - started

    await seconds(None)
    for_known = statistics.median([await seconds(known) for _ in range(5)])
    for_unknown = statistics.median([await seconds(None) for _ in range(5)])
    assert 0.4 < for_unknown / for_known < 2.5


async def test_no_password_of_nobody_is_ever_right() -> None:
    assert not await is_password(None, "nobody signs in with this")
    assert not await is_password("not a hash at all", "x")


async def test_a_link_that_does_not_work_says_one_thing_only(web: WebPeer) -> None:
    texts = set()
    for token in ("", "x", "A" * 43, "../etc"):
        answer = await web.browser().get(f"/sign-in/link?token={token}")
        assert answer.status_code == 404
        texts.add(re.sub(r"[0-9a-f]{64}", "", answer.text))
    assert len(texts) == 1
