"""The peers of the tests are real, empty at the start of each test, and of this process."""

from __future__ import annotations

import smtplib
import ssl

import pytest
import redis
from sqlalchemy import inspect, text

from portal.db import Base, Database
from tests import services
from tests.smtp_peer import PASSWORD, USER, SmtpPeer


async def test_each_database_starts_with_every_table_and_no_row(db: Database) -> None:
    async with db.read() as conn:
        names = await conn.run_sync(lambda sync: inspect(sync).get_table_names())
        assert set(names) >= set(Base.metadata.tables)
        for name in names:
            assert (await conn.execute(text(f"SELECT count(*) FROM {name}"))).scalar_one() == 0


@pytest.mark.parametrize("turn", [1, 2])
def test_redis_is_empty_at_each_turn(redis_url: str, turn: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", turn)


def test_a_redis_can_be_brought_where_none_listens(tmp_path: object) -> None:
    port, process = services.start_valkey(services.temporary_folder("kv"))
    with redis.Redis(port=port) as client:
        assert client.ping()
    services.end(process)
    assert process.poll() is not None


def test_the_smtp_server_takes_mail_at_its_three_doors(smtp_server: SmtpPeer) -> None:
    trust = ssl.create_default_context(cafile=smtp_server.ca_path)
    with smtplib.SMTP("127.0.0.1", smtp_server.plain_port) as plain:
        plain.sendmail("a@x.example", ["b@x.example"], "Subject: one\r\n\r\n1")
    with smtplib.SMTP("127.0.0.1", smtp_server.starttls_port) as starttls:
        starttls.starttls(context=trust)
        starttls.login(USER, PASSWORD)
        starttls.sendmail("a@x.example", ["b@x.example"], "Subject: two\r\n\r\n2")
    with smtplib.SMTP_SSL("127.0.0.1", smtp_server.tls_port, context=trust) as tls:
        tls.sendmail("a@x.example", ["b@x.example"], "Subject: three\r\n\r\n3")
    assert [(m.message["subject"], m.tls, m.signed_in_as) for m in smtp_server.received] == [
        ("one", False, None),
        ("two", True, USER),
        ("three", True, None),
    ]


def test_the_smtp_server_answers_as_scripted(smtp_server: SmtpPeer) -> None:
    smtp_server.answers.append("451 4.3.0 try later")
    with smtplib.SMTP("127.0.0.1", smtp_server.plain_port) as plain, pytest.raises(smtplib.SMTPDataError, match="451"):
        plain.sendmail("a@x.example", ["b@x.example"], "Subject: one\r\n\r\n1")
    assert smtp_server.received == []


async def test_a_browser_opens_a_page(page: object) -> None:
    await page.goto("data:text/html,<title>here</title>")  # type: ignore[attr-defined]
    assert await page.title() == "here"  # type: ignore[attr-defined]
