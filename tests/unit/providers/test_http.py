"""The client that providers get: bounded in time and size, without memory between calls."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import AsyncIterator

import httpx2
import pytest

from portal.providers.egress import Guard
from portal.providers.http import MAX_ANSWER, AnswerTooLarge, GuardedClient
from tests.http_peer import Heard, HttpPeer, answer, http_peer


@pytest.fixture
async def peer() -> AsyncIterator[HttpPeer]:
    async with http_peer() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    async with GuardedClient(Guard(["127.0.0.1"]), connections=4, deadline=0.5) as made:
        yield made


async def test_an_answer_is_read(peer: HttpPeer, client: GuardedClient) -> None:
    peer.answer = answer(200, b'{"id": "abc"}', Content_Type="application/json")
    assert (await client.post(peer.url("/send"), json={"a": 1})).json() == {"id": "abc"}
    assert (peer.heard[0].method, peer.heard[0].target, peer.heard[0].body) == ("POST", "/send", b'{"a":1}')


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_packed_answer_is_unpacked(encoding: str, pack: object, peer: HttpPeer, client: GuardedClient) -> None:
    assert callable(pack)
    peer.answer = answer(200, pack(b"hello" * 1000), Content_Encoding=encoding)
    assert (await client.get(peer.url())).content == b"hello" * 1000


async def test_a_large_answer_is_not_read(peer: HttpPeer, client: GuardedClient) -> None:
    peer.answer = answer(200, b"x" * (MAX_ANSWER + 1))
    with pytest.raises(AnswerTooLarge):
        await client.get(peer.url())


async def test_an_answer_without_a_length_ends_at_the_cap(peer: HttpPeer, client: GuardedClient) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    peer.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 40 + b"0\r\n\r\n"
    with pytest.raises(AnswerTooLarge):
        await client.get(peer.url())


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_small_bomb_stays_small(encoding: str, peer: HttpPeer, client: GuardedClient) -> None:
    bomb = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    packed = bomb.compress(bytes(200 * 1024 * 1024)) + bomb.flush()
    assert len(packed) < MAX_ANSWER
    peer.answer = answer(200, packed, Content_Encoding=encoding)
    with pytest.raises(AnswerTooLarge):
        await client.get(peer.url())


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "made-up"])
async def test_a_packing_that_was_not_asked_for_is_refused(
    encoding: str, peer: HttpPeer, client: GuardedClient
) -> None:
    peer.answer = answer(200, b"x", Content_Encoding=encoding)
    with pytest.raises(httpx2.ReadError):
        await client.get(peer.url())


async def test_an_answer_that_trickles_ends_at_the_deadline(peer: HttpPeer, client: GuardedClient) -> None:
    async def slow(_: Heard) -> bytes:
        await asyncio.Event().wait()
        return b""

    peer.answer = slow
    started = time.monotonic()
    with pytest.raises(httpx2.TimeoutException):
        await client.get(peer.url())
    assert time.monotonic() - started < 2


async def test_a_head_without_a_body_ends_at_the_deadline_too(peer: HttpPeer, client: GuardedClient) -> None:
    peer.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
    with pytest.raises(httpx2.TimeoutException):
        await client.get(peer.url())


async def test_cookies_are_not_kept(peer: HttpPeer, client: GuardedClient) -> None:
    peer.answer = answer(200, b"{}", Set_Cookie="session=abc")
    await client.get(peer.url())
    await client.get(peer.url())
    assert "cookie" not in peer.heard[1].headers


async def test_connections_are_kept(peer: HttpPeer, client: GuardedClient) -> None:
    for _ in range(5):
        await client.get(peer.url())
    assert peer.connections == 1


async def test_no_more_connections_than_the_account_may_have(peer: HttpPeer, client: GuardedClient) -> None:
    await asyncio.gather(*(client.get(peer.url()) for _ in range(40)))
    assert peer.connections <= 4


async def test_a_connection_that_the_vendor_ended_is_replaced(peer: HttpPeer, client: GuardedClient) -> None:
    peer.answer = answer(200, b"{}", Connection="close")
    for _ in range(3):
        assert (await client.get(peer.url())).status_code == 200
