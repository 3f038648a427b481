"""Row 7: a name that is public when it is checked and private when it is used must not get us anywhere."""

from __future__ import annotations

import asyncio
import ssl
import threading
from pathlib import Path

import httpx2
import pytest
import trustme

from portal.providers import egress, http
from portal.providers.egress import ConnectFailed, EgressRefused, Guard
from portal.providers.http import GuardedClient
from tests.http_peer import http_peer

PUBLIC = "203.0.114.1"


class Rebinding:
    """A resolver that answers each question differently, the last answer for ever; it counts the questions."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> list[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_a_name_that_turns_to_loopback_reaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Rebinding([PUBLIC], ["127.0.0.1"])
    dialled: list[tuple[str, int]] = []
    async with http_peer() as peer:
        guard = Guard(resolve=resolver)
        async with GuardedClient(guard, connections=2, deadline=1) as client:
            _note_dials(client, dialled)
            for _ in range(3):
                with pytest.raises((EgressRefused, httpx2.ConnectError, httpx2.TimeoutException)):
                    await client.get(peer.url(host="rebind.example"))
        assert peer.connections == 0
    # The first try went to the very address that was checked, by number: nothing was resolved a second time.
    assert dialled == [(PUBLIC, peer.port)]
    assert resolver.asked == 3


def _note_dials(client: GuardedClient, dialled: list[tuple[str, int]]) -> None:
    backend = client._transport._pool._network_backend  # type: ignore[attr-defined]

    class Dialler:
        async def connect_tcp(self, host: str, port: int, *_: object) -> None:
            dialled.append((host, port))
            raise http.httpcore2.ConnectError("not in this test")

    backend._inner = Dialler()


async def test_a_plain_socket_is_dialled_by_the_checked_number(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Rebinding(["127.0.0.1"], ["10.0.0.1"])
    async with http_peer() as peer:
        sock = await Guard(["127.0.0.1"], resolve=resolver).socket("rebind.example", peer.port)
        assert sock.getpeername() == ("127.0.0.1", peer.port)
        sock.close()
    assert resolver.asked == 1


async def test_the_second_answer_is_checked_as_the_first_was() -> None:
    guard = Guard(resolve=Rebinding([PUBLIC], ["127.0.0.1"]))
    assert await guard.addresses("rebind.example", 80) == [PUBLIC]
    with pytest.raises(EgressRefused):
        await guard.addresses("rebind.example", 80)


async def test_tls_still_names_and_verifies_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("hooks.example").configure_cert(server)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    monkeypatch.setattr(http, "tls_context", lambda: client_context)
    guard = Guard(["127.0.0.1"], resolve=Rebinding(["127.0.0.1"]))
    async with http_peer(server) as peer, GuardedClient(guard, connections=2, deadline=5) as client:
        assert (await client.get(f"https://hooks.example:{peer.port}/")).status_code == 200
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"https://other.example:{peer.port}/")
        assert peer.server_names == ["hooks.example", "other.example"]
        _, writer = await guard.connect("hooks.example", peer.port, client_context)
        writer.close()
        with pytest.raises(ConnectFailed):
            await guard.connect("other.example", peer.port, client_context)


async def test_many_who_ask_the_same_name_at_once_share_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def slowly(host: str, port: int) -> list[str]:
        asked.append(host)
        release.wait(5)
        return [PUBLIC]

    release = threading.Event()
    monkeypatch.setattr(egress, "_ask", slowly)
    waiting = [asyncio.create_task(Guard().addresses("same.example", 443)) for _ in range(50)]
    other = asyncio.create_task(Guard().addresses("other.example", 443))
    while len(asked) < 2:
        await asyncio.sleep(0.001)
    waiting[0].cancel()
    release.set()
    answers = await asyncio.gather(*waiting, other, return_exceptions=True)
    assert sorted(asked) == ["other.example", "same.example"]
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [[PUBLIC]] * 50
