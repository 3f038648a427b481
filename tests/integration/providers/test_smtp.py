"""The provider smtp through the guarded context, against a real server with TLS and sign-in."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import trustme

from portal.db import Database
from portal.providers import Guard, OpenAccount, send_one
from portal.sdk import Receipt, SendFailed
from portal.sdk.testing import sample_message
from tests.integration.providers.world import SECRET, World
from tests.smtp_peer import SmtpPeer

pytestmark = pytest.mark.databases("sqlite")
MAIL = sample_message(channel="email", address="ann@example.com", parts={"subject": "Hello", "text": "Hi Ann"})


async def account_for(db: Database, peer: SmtpPeer, port: int, **changes: Any) -> OpenAccount:
    settings = {
        "host": "localhost",
        "port": port,
        "sender": "shop@example.com",
        "ca_file": str(peer.ca_path),
        **changes,
    }
    world = World(db)
    world.accounts.guard = Guard(["localhost"])
    account_id: UUID = await world.account("mail", "smtp", settings=settings)
    await world.accounts.load()
    return world.accounts.get(account_id)


@pytest.mark.parametrize("tls", ["none", "starttls", "tls"])
async def test_a_mail_arrives_in_each_mode(tls: str, db: Database, smtp_server: SmtpPeer) -> None:
    port = {"none": smtp_server.plain_port, "starttls": smtp_server.starttls_port, "tls": smtp_server.tls_port}[tls]
    account = await account_for(
        db, smtp_server, port, tls=tls, username=smtp_server.user, password=smtp_server.password
    )
    assert isinstance(await send_one(account, MAIL), Receipt)
    assert isinstance(await send_one(account, MAIL), Receipt)
    await account.close()
    assert [(mail.tls, mail.signed_in_as) for mail in smtp_server.received] == [(tls != "none", smtp_server.user)] * 2
    assert smtp_server.connections == 1


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_of_a_stranger_is_never_accepted(
    tls: str, db: Database, smtp_server: SmtpPeer, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    port = {"starttls": smtp_server.starttls_port, "tls": smtp_server.tls_port}[tls]
    account = await account_for(db, smtp_server, port, tls=tls, ca_file=str(stranger))
    failed = await send_one(account, MAIL)
    assert isinstance(failed, SendFailed)
    assert (failed.code, failed.permanent, failed.ambiguous) == ("tls", False, False)
    assert smtp_server.received == []


async def test_a_wrong_password_is_the_accounts_trouble_and_not_the_mails(db: Database, smtp_server: SmtpPeer) -> None:
    account = await account_for(db, smtp_server, smtp_server.starttls_port, username=smtp_server.user, password=SECRET)
    failed = await send_one(account, MAIL)
    assert isinstance(failed, SendFailed)
    assert not failed.permanent
    assert "535" in str(failed.code)
    assert SECRET not in failed.reason


async def test_a_server_in_a_private_network_is_refused_unless_it_is_allowed(
    db: Database, smtp_server: SmtpPeer
) -> None:
    account = await account_for(db, smtp_server, smtp_server.plain_port, tls="none", host="127.0.0.1")
    failed = await send_one(account, MAIL)
    assert isinstance(failed, SendFailed)
    assert failed.code == "egress"
    assert smtp_server.connections == 0


async def test_a_server_that_is_not_there_is_tried_later(db: Database, smtp_server: SmtpPeer) -> None:
    account = await account_for(db, smtp_server, 9, tls="none")
    failed = await send_one(account, MAIL)
    assert isinstance(failed, SendFailed)
    assert (failed.code, failed.permanent, failed.ambiguous) == ("connect", False, False)


async def test_a_mail_in_chinese_with_dots_and_long_lines_arrives_as_it_was(
    db: Database, smtp_server: SmtpPeer
) -> None:
    text = "..\n.\nfrom here\n" + "你好 " * 500
    account = await account_for(db, smtp_server, smtp_server.plain_port, tls="none")
    parts = {"subject": "订单 17 已发货", "text": text, "html": f"<p>{text}</p>"}
    assert isinstance(await send_one(account, msgspec.structs.replace(MAIL, parts=parts)), Receipt)
    await account.close()
    mail = smtp_server.received[0].message
    assert mail["Subject"] == parts["subject"]
    body = mail.get_body(("plain",))
    assert body is not None
    assert body.get_content().split() == text.split()
