"""The provider smtp against a server of this file, which answers as a test says."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from plugins.email import provider as smtp
from plugins.email.provider import Smtp, SmtpSettings
from portal.sdk import SendFailed
from portal.sdk.testing import ContextForTests, ProviderContract, sample_message

MESSAGE = sample_message(channel="email", address="ann@example.com", parts={"subject": "Hello", "text": "Hi Ann"})


class Server:
    """SMTP in twenty lines. `answers` maps a command's first word to what is said instead, or to None: hang up.

    `.` is the answer to the mail itself; "wait" never answers.
    """

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, str | None] = {}
        self.connections = 0
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        writer.write(b"220 test\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._command(reader, writer):
                await writer.drain()
        writer.close()

    async def _command(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line = (await reader.readline()).decode().strip()
        if not line:
            return False
        word = line.split()[0].upper().partition(":")[0]
        self.commands.append(word)
        usual = {"EHLO": "250-test\r\n250 SIZE 1000000", "DATA": "354 go on", "QUIT": "221 bye"}
        if not self._say(writer, word, usual.get(word, "250 OK")):
            return word in self.answers and self.answers[word] == "wait"
        if word == "DATA" and "DATA" not in self.answers:
            self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
            return self._say(writer, ".", "250 2.0.0 OK queued as 4XYZ12") or self.answers["."] == "wait"
        return word != "QUIT"

    def _say(self, writer: asyncio.StreamWriter, word: str, usual: str) -> bool:
        answer = self.answers.get(word, usual)
        if answer is None or answer == "wait":
            return False
        writer.write(answer.encode() + b"\r\n")
        return True


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    peer = Server()
    listener = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = listener.sockets[0].getsockname()[1]
    yield peer
    listener.close()
    for writer in peer.writers:
        writer.close()


def provider_for(server: Server, **settings: object) -> Smtp:
    given = {"host": "127.0.0.1", "port": server.port, "tls": "none", "sender": "Shop <shop@example.com>", **settings}
    return Smtp(msgspec.convert(given, SmtpSettings))


class TestSmtp(ProviderContract):
    provider = Smtp
    message = MESSAGE
    settings = {
        "host": "127.0.0.1",
        "tls": "none",
        "sender": "noreply@example.com",
        "username": "u",
        "password": "a-secret",
    }
    wrong_settings = [
        {"sender": "nobody"},
        {"bounce_address": "nobody"},
        {"port": 0},
        {"tls": "maybe"},
        {"host": "mail.example.com"},  # a password, and no encryption
    ]

    @pytest.fixture
    async def context(self, server: Server) -> ContextForTests:
        self.settings = {name: value for name, value in self.settings.items() if name not in ("username", "password")}
        self.settings["port"] = server.port
        return ContextForTests()


async def test_a_mail_arrives_and_the_receipt_has_the_servers_id(server: Server) -> None:
    receipt = await provider_for(server).send(MESSAGE, ContextForTests())
    assert receipt.vendor_id == "4XYZ12"
    assert b"Subject: Hello" in server.mails[0]


async def test_connections_are_used_again(server: Server) -> None:
    provider, context = provider_for(server), ContextForTests()
    for _ in range(5):
        await provider.send(MESSAGE, context)
    await provider.close()
    assert (server.connections, len(server.mails), server.commands[-1]) == (1, 5, "QUIT")


async def test_at_most_so_many_connections_as_set(server: Server) -> None:
    provider, context = provider_for(server, connections=3), ContextForTests()
    await asyncio.gather(*(provider.send(MESSAGE, context) for _ in range(30)))
    await provider.close()
    assert server.connections == 3
    assert len(server.mails) == 30


async def test_a_connection_that_the_server_ended_is_replaced_and_nothing_is_sent_twice(server: Server) -> None:
    provider, context = provider_for(server), ContextForTests()
    await provider.send(MESSAGE, context)
    server.writers[0].close()
    await asyncio.sleep(0)
    await provider.send(MESSAGE, context)
    await provider.close()
    assert (server.connections, len(server.mails)) == (2, 2)


async def test_an_old_idle_connection_is_not_trusted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    provider, context = provider_for(server), ContextForTests()
    await provider.send(MESSAGE, context)
    later = time.monotonic() + smtp.IDLE_SECONDS + 1
    monkeypatch.setattr(smtp.time, "monotonic", lambda: later)
    await provider.send(MESSAGE, context)
    await provider.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    ("command", "answer", "permanent", "suppress"),
    [
        ("RCPT", "550 5.1.1 no such user", True, True),
        ("RCPT", "550 5.2.1 mailbox disabled", True, True),
        ("RCPT", "550 5.7.1 policy", True, False),
        ("RCPT", "550 no", True, False),
        ("RCPT", "450 4.2.1 greylisted", False, False),
        ("RCPT", "552 5.2.2 mailbox full", True, False),
        ("MAIL", "550 5.1.1 our own sender, not the address", True, False),
        ("MAIL", "451 4.3.0 later", False, False),
        ("MAIL", "421 4.3.2 shutting down", False, False),
        ("DATA", "554 5.7.1 spam", True, False),
        (".", "554 5.6.0 no", True, False),
        (".", "452 4.3.1 disk full", False, False),
        ("RCPT", "530 5.7.0 sign in first", False, False),
    ],
)
async def test_the_servers_answer_decides(
    server: Server, command: str, answer: str, permanent: bool, suppress: bool
) -> None:
    server.answers[command] = answer
    provider = provider_for(server)
    with pytest.raises(SendFailed) as failed:
        await provider.send(MESSAGE, ContextForTests())
    assert (failed.value.permanent, failed.value.suppress) == (permanent, suppress)
    assert not failed.value.ambiguous
    assert answer.split()[0] in str(failed.value.code)
    await provider.close()


async def test_after_a_refusal_the_connection_serves_the_next(server: Server) -> None:
    provider, context = provider_for(server), ContextForTests()
    server.answers["RCPT"] = "550 5.1.1 no such user"
    with pytest.raises(SendFailed):
        await provider.send(MESSAGE, context)
    server.answers.clear()
    await provider.send(MESSAGE, context)
    await provider.close()
    assert (server.connections, len(server.mails)) == (1, 1)


async def test_a_server_that_hangs_up_after_the_mail_leaves_doubt(server: Server) -> None:
    server.answers["."] = None
    with pytest.raises(SendFailed) as failed:
        await provider_for(server).send(MESSAGE, ContextForTests())
    assert failed.value.ambiguous
    assert not failed.value.permanent
    assert len(server.mails) == 1


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
async def test_a_server_that_hangs_up_before_the_mail_leaves_none(server: Server, command: str) -> None:
    server.answers[command] = None
    with pytest.raises(SendFailed) as failed:
        await provider_for(server).send(MESSAGE, ContextForTests())
    assert not failed.value.ambiguous
    assert not failed.value.permanent


async def test_a_send_that_is_given_up_takes_its_connection_with_it(server: Server) -> None:
    server.answers["."] = "wait"
    provider, context = provider_for(server, connections=1), ContextForTests()
    task = asyncio.create_task(provider.send(MESSAGE, context))
    while not server.mails:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.answers.clear()
    await provider.send(MESSAGE, context)
    await provider.close()
    assert server.connections == 2


async def test_a_mail_that_is_larger_than_the_server_takes_is_not_sent(server: Server) -> None:
    huge = msgspec.structs.replace(MESSAGE, parts={"subject": "Hello", "text": "x" * 1_100_000})
    with pytest.raises(SendFailed) as failed:
        await provider_for(server).send(huge, ContextForTests())
    assert failed.value.permanent
    assert server.mails == []


async def test_a_server_without_starttls_gets_nothing(server: Server) -> None:
    provider = provider_for(server, tls="starttls", username="u", password="a-secret")
    with pytest.raises(SendFailed) as failed:
        await provider.send(MESSAGE, ContextForTests())
    assert not failed.value.permanent
    assert "AUTH" not in server.commands
    assert server.mails == []


async def test_a_ca_file_that_is_not_there_is_named() -> None:
    settings = SmtpSettings(host="mail.example.com", sender="a@example.com", ca_file="/nowhere/ca.pem")
    with pytest.raises(SendFailed, match="CA file"):
        await Smtp(settings).open(ContextForTests())
