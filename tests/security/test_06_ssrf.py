"""Row 6: a provider, or an address that a user gave, must not reach what only our own network can reach."""

from __future__ import annotations

import httpx2
import pytest

from portal.errors import SettingsError
from portal.providers.egress import ConnectFailed, EgressRefused, Guard
from portal.providers.http import GuardedClient
from tests.http_peer import http_peer

FORBIDDEN = {
    "this network": "0.0.0.0",
    "this network, another": "0.1.2.3",
    "private 10": "10.1.2.3",
    "private 172": "172.16.0.1",
    "private 172, end": "172.31.255.254",
    "private 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "carrier-grade NAT, end": "100.127.255.254",
    "loopback": "127.0.0.1",
    "loopback, another": "127.99.0.1",
    "cloud metadata": "169.254.169.254",
    "link-local": "169.254.0.1",
    "protocol assignments": "192.0.0.8",
    "documentation 1": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "6to4 relay": "192.88.99.1",
    "benchmark": "198.18.0.1",
    "benchmark, end": "198.19.255.255",
    "multicast": "224.0.0.1",
    "multicast, end": "239.255.255.255",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "v6 unspecified": "::",
    "v6 loopback": "::1",
    "v4-mapped loopback": "::ffff:127.0.0.1",
    "v4-mapped public": "::ffff:93.184.216.34",
    "v4-compatible": "::127.0.0.1",
    "NAT64 of loopback": "64:ff9b::7f00:1",
    "NAT64 local use": "64:ff9b:1::1",
    "discard only": "100::1",
    "Teredo": "2001::1",
    "ORCHID": "2001:20::1",
    "v6 documentation": "2001:db8::1",
    "v6 documentation, new": "3fff::1",
    "6to4 of loopback": "2002:7f00:1::1",
    "unique local": "fd00::1",
    "unique local, cloud metadata": "fd00:ec2::254",
    "v6 link-local": "fe80::1",
    "v6 link-local with a zone": "fe80::1%eth0",
    "site-local": "fec0::1",
    "v6 multicast": "ff02::1",
    "outside global unicast": "4000::1",
    "not an address": "localhost",
}
PUBLIC = ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"]


@pytest.mark.parametrize("address", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_an_address_that_is_not_public_is_forbidden(address: str) -> None:
    assert not Guard().permits(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_permitted(address: str) -> None:
    assert Guard().permits(address)


def guard_of(*addresses: str, allow: tuple[str, ...] = ()) -> Guard:
    """A guard for which every name has these addresses."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return Guard(allow, resolve=resolve)


async def test_one_private_address_among_public_ones_is_refused() -> None:
    with pytest.raises(EgressRefused):
        await guard_of("93.184.216.34", "10.0.0.1").addresses("mixed.example", 443)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "::1"]
)
async def test_no_spelling_of_loopback_gets_through_the_real_resolver(host: str) -> None:
    # A resolver that does not know a spelling ends the matter just as well.
    with pytest.raises((EgressRefused, ConnectFailed)):
        await Guard().socket(host, 80)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://user:secret@127.0.0.1:{port}/",
        "http://93.184.216.34@127.0.0.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://127.0.0.1:{port}#@93.184.216.34/",
    ],
)
async def test_a_local_server_hears_nothing(url: str) -> None:
    async with http_peer() as peer, GuardedClient(Guard(), connections=2, deadline=3) as client:
        with pytest.raises((EgressRefused, httpx2.HTTPError, httpx2.InvalidURL)):
            await client.get(url.format(port=peer.port))
        assert peer.connections == 0


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://127.0.0.1/", "unix:///var/run/docker.sock", "ftp://1.1.1.1/"]
)
async def test_other_schemes_are_refused(url: str) -> None:
    async with GuardedClient(Guard(), connections=2, deadline=3) as client:
        with pytest.raises(httpx2.UnsupportedProtocol):
            await client.get(url)


@pytest.mark.parametrize("port", [22, 25, 6379, 5432])
async def test_every_port_is_guarded_for_plain_sockets_too(port: int) -> None:
    with pytest.raises(EgressRefused):
        await Guard().socket("127.0.0.1", port)
    with pytest.raises(EgressRefused):
        await Guard().connect("127.0.0.1", port, None)


@pytest.mark.parametrize("allow", ["127.0.0.1", "127.0.0.0/8", "localhost"])
async def test_what_the_operator_allows_is_reached(allow: str) -> None:
    host = "localhost" if allow == "localhost" else "127.0.0.1"
    async with http_peer() as peer, GuardedClient(Guard([allow]), connections=2, deadline=3) as client:
        assert (await client.get(peer.url(host=host))).status_code == 200
        assert peer.connections == 1


async def test_allowing_one_host_allows_no_other_name_of_the_same_address() -> None:
    with pytest.raises(EgressRefused):
        await guard_of("127.0.0.1", allow=("localhost",)).addresses("evil.example", 80)


async def test_a_network_that_is_allowed_lets_no_mapped_address_through() -> None:
    with pytest.raises(EgressRefused):
        await guard_of("::ffff:10.0.0.1", allow=("127.0.0.0/8",)).addresses("mapped.example", 80)


@pytest.mark.parametrize("entry", ["", "10.0.0.0/40", "not/anything"])
def test_a_wrong_allowance_stops_the_start(entry: str) -> None:
    with pytest.raises(SettingsError, match="PORTAL_EGRESS_ALLOW"):
        Guard([entry])


async def test_a_name_without_an_address_is_a_failed_connection_and_not_a_crash() -> None:
    with pytest.raises(ConnectFailed):
        await guard_of().addresses("empty.example", 80)
    with pytest.raises(ConnectFailed):
        await Guard().addresses("\ud800", 80)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_peer() as proxy, http_peer() as peer:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        async with GuardedClient(Guard(["127.0.0.1"]), connections=2, deadline=3) as client:
            await client.get(peer.url())
        assert (proxy.connections, peer.connections) == (0, 1)
