"""One-time links: looked at by anybody, used once, on every database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from portal.access import User
from portal.access.queries import roles_of
from portal.audit.models import AuditEntry
from portal.db import Database
from portal.errors import Conflict, InvalidInput, NotFound
from portal.identity import create_user
from portal.identity.links import look_at_link, make_link
from portal.identity.models import SignInLink
from portal.identity.sign_in import sign_in_by_link
from portal.identity.users import disable_user, new_link, set_roles
from tests.web_peer import WebPeer


def _token(path: str) -> str:
    return path.partition("token=")[2]


async def _use(db: Database, token: str) -> bool:
    try:
        await sign_in_by_link(db, token, address="", user_agent="")
    except NotFound:
        return False
    return True


async def test_of_twenty_at_once_exactly_one_gets_in(db: Database) -> None:
    token = _token(await create_user(db, "ada@example.com", ["admin"]))
    used = await asyncio.gather(*(_use(db, token) for _ in range(20)))
    assert used.count(True) == 1
    assert not await _use(db, token)


async def test_creating_the_same_user_from_two_shells_makes_one(db: Database) -> None:
    paths = await asyncio.gather(
        *(create_user(db, "Ada@Example.com", [role]) for role in ("admin", "viewer", "operator"))
    )
    assert len(set(paths)) == 3
    async with db.read() as conn:
        users = (await conn.execute(select(User.id, User.email))).all()
        assert [row.email for row in users] == ["ada@example.com"]
        roles = (await roles_of(conn, [users[0].id]))[users[0].id]
    assert set(roles) == {"admin", "viewer", "operator"}


async def test_looking_at_a_link_does_not_use_it(web: WebPeer) -> None:
    path = await create_user(web.db, "ada@example.com", ["admin"], name="Ada")
    for _ in range(3):
        answer = await web.browser().get(path)
        assert answer.status_code == 200
        assert "ada@example.com" in answer.text
    browser = web.browser()
    answer = await browser.post("/sign-in/link", {"token": _token(path)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert "Set a password" in (await browser.get("/account")).text
    assert (await web.browser().get(path)).status_code == 404


@pytest.mark.databases("sqlite")
async def test_an_old_link_and_one_of_a_disabled_user_do_not_work(db: Database) -> None:
    old, gone = [_token(await create_user(db, f"{name}@example.com", ["viewer"])) for name in ("old", "gone")]
    async with db.write() as conn:
        old_user, gone_user = (await look_at_link(conn, old)), (await look_at_link(conn, gone))
        past = datetime.now(UTC) - timedelta(seconds=1)
        await conn.execute(update(SignInLink).where(SignInLink.user_id == old_user.id).values(expires_at=past))
        await conn.execute(update(User).where(User.id == gone_user.id).values(disabled_at=past))
    assert not await _use(db, old)
    assert not await _use(db, gone)


@pytest.mark.databases("sqlite")
async def test_a_new_link_ends_the_one_before_and_only_its_digest_is_stored(db: Database) -> None:
    first = _token(await create_user(db, "ada@example.com", ["admin"]))
    async with db.write() as conn:
        user = await look_at_link(conn, first)
        second = _token(await make_link(conn, user.id))
    assert not await _use(db, first)
    async with db.read() as conn:
        stored = (await conn.execute(select(SignInLink.token_hash))).scalars().all()
    assert second not in stored
    assert await _use(db, second)


@pytest.mark.databases("sqlite")
async def test_the_last_administrator_stays(web: WebPeer) -> None:
    admin, other = await web.user("ada@example.com", "admin"), await web.user("bob@example.com", "viewer")
    with pytest.raises(Conflict, match="last administrator"):
        await web.db.transact(set_roles, admin, admin.id, ["viewer"])
    with pytest.raises(Conflict, match="last administrator"):
        await web.db.transact(disable_user, other, admin.id)
    with pytest.raises(Conflict, match="yourself"):
        await web.db.transact(disable_user, admin, admin.id)
    await web.db.transact(set_roles, admin, other.id, ["admin"])
    await web.db.transact(disable_user, other, admin.id)
    with pytest.raises(Conflict, match="disabled"):
        await web.db.transact(new_link, other, admin.id)


async def test_two_administrators_cannot_remove_each_other_at_once(web: WebPeer) -> None:
    one, two = await web.user("one@example.com", "admin"), await web.user("two@example.com", "admin")
    done = await asyncio.gather(
        web.db.transact(disable_user, one, two.id), web.db.transact(disable_user, two, one.id), return_exceptions=True
    )
    assert len([result for result in done if isinstance(result, Conflict)]) == 1


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "email", ["", "ada", "ada@", "@example.com", "a b@example.com", "ada@exa\nmple.com", "x" * 300 + "@a.b"]
)
async def test_an_address_that_cannot_exist_is_refused(db: Database, email: str) -> None:
    with pytest.raises(InvalidInput):
        await create_user(db, email, ["viewer"])


@pytest.mark.databases("sqlite")
async def test_what_concerns_users_is_in_the_audit(web: WebPeer) -> None:
    admin = await web.user("ada@example.com", "admin")
    browser = await web.signed_in(admin)
    token = await browser.token("/account")
    await browser.post("/users", {"email": "new@example.com", "roles": ["viewer"]}, token=token)
    await browser.post(
        "/keys", {"name": "n", "application": "a", "mode": "test", "scopes": ["notifications:send"]}, token=token
    )
    form = {"password": "another good phrase 4", "again": "another good phrase 4"}
    assert (await browser.post("/account/password", form, token=token)).status_code == 303
    await browser.post("/sign-out", token=await browser.token("/account"))
    async with web.db.read() as conn:
        rows = (await conn.execute(select(AuditEntry.action, AuditEntry.actor_id).order_by(AuditEntry.id))).all()
    assert [row.action for row in rows] == [
        "user.create", "application.create", "api_key.create", "user.set_password", "user.end_sessions", "user.sign_out",
    ]  # fmt: skip
    assert {row.actor_id for row in rows} == {admin.id}
