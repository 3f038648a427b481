"""The address guard: which addresses a provider may reach, decided where the connection is made.

A name is resolved once, every address it has is checked, and the connection goes to a checked address: a resolver that
answers differently the second time is never asked a second time. TLS still sees the name, for SNI and the certificate.
The list follows the IANA special-purpose address registries for IPv4 and IPv6.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore2

from portal.errors import SettingsError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

CONNECT_SECONDS = 5.0
RESOLVE_SECONDS = 5.0

FORBIDDEN_V4 = [
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
]
# Of IPv6 only global unicast is reachable at all: that leaves out ::, ::1, ::ffff:0:0/96 (IPv4-mapped), 64:ff9b::/96 and
# 64:ff9b:1::/48 (NAT64), 100::/64, fc00::/7 (unique local), fe80::/10 (link-local), fec0::/10 and ff00::/8 (multicast).
GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
FORBIDDEN_V6 = [
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which can carry any IPv4 address
        "3fff::/20",  # documentation
    )
]


class EgressRefused(Exception):
    """The guard does not let a provider reach this host."""


class ConnectFailed(ConnectionError):
    """No connection could be made: nothing was sent."""


class Guard:
    """Decides and connects. `allow` has host names and CIDR ranges that may be reached besides public addresses."""

    def __init__(self, allow: Iterable[str] = (), *, resolve: Resolve | None = None) -> None:
        self._hosts: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._resolve = resolve or _resolve
        for entry in allow:
            self._allow(entry)

    def _allow(self, entry: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            if "/" in entry or not entry.strip():
                text = f"PORTAL_EGRESS_ALLOW: expected host names, addresses or CIDR ranges, got {entry!r}."
                raise SettingsError(text) from None
            self._hosts.add(_plain(entry))

    def permits(self, address: str) -> bool:
        """Whether this IP address may be reached."""
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(ip in network for network in self._networks if network.version == ip.version) or is_public(ip)

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, all of them checked. Raises EgressRefused, ConnectFailed."""
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await self._resolve(host, port)
        except TimeoutError:
            raise ConnectFailed(f"The name {host} was not resolved in time.") from None
        except (OSError, UnicodeError):
            raise ConnectFailed(f"The name {host} cannot be resolved.") from None
        if not found:
            raise ConnectFailed(f"The name {host} has no address.")
        # One private address among public ones is refused too: which of them answers is not ours to choose.
        if _plain(host) not in self._hosts and not all(self.permits(address) for address in found):
            raise EgressRefused(f"The host {host} is not a public address, and PORTAL_EGRESS_ALLOW does not list it.")
        return found

    async def socket(self, host: str, port: int, *, seconds: float = CONNECT_SECONDS) -> socket.socket:
        """A connected, non-blocking socket to a checked address. Raises EgressRefused, ConnectFailed."""
        failure = "no address"
        for address in await self.addresses(host, port):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(seconds):
                    await loop.sock_connect(sock, (address, port))
            except (TimeoutError, OSError) as error:
                sock.close()
                failure = getattr(error, "strerror", None) or "timed out"
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise ConnectFailed(f"No connection to {host}:{port}: {failure}.")

    async def connect(
        self, host: str, port: int, tls: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Streams over a guarded socket; with `tls` the certificate must be the host's."""
        sock = await self.socket(host, port)
        try:
            return await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=host if tls else None)
        except (ssl.SSLError, OSError) as error:
            sock.close()
            raise ConnectFailed(f"No secure connection to {host}:{port}: {type(error).__name__}.") from error


def is_public(ip: IPAddress) -> bool:
    """Whether this is an ordinary address of the internet."""
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in FORBIDDEN_V4)
    return ip in GLOBAL_V6 and not any(ip in network for network in FORBIDDEN_V6)


def _plain(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()


# Threads of their own: a name server that does not answer holds its own vendor's threads, not those of everything else.
_threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="resolve")
_asking: dict[tuple[str, int], asyncio.Future[list[str]]] = {}


async def _resolve(host: str, port: int) -> list[str]:
    """The system's answer. Many who ask the same at once share one question."""
    key = (host, port)
    question = _asking.get(key)
    if question is None or question.get_loop() is not asyncio.get_running_loop():
        question = asyncio.get_running_loop().run_in_executor(_threads, _ask, host.strip("[]"), port)
        _asking[key] = question
        question.add_done_callback(lambda _: _asking.pop(key, None))
    return await asyncio.shield(question)


def _ask(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """httpcore's way to the network, through the guard. Unix sockets are refused."""

    def __init__(self, guard: Guard, inner: httpcore2.AsyncNetworkBackend | None = None) -> None:
        self._guard = guard
        self._inner = inner or httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._guard.addresses(host, port)
        except ConnectFailed as error:
            raise httpcore2.ConnectError(str(error)) from None
        return await self._first(addresses, port, timeout, local_address, socket_options)

    async def _first(
        self,
        addresses: Sequence[str],
        port: int,
        timeout: float | None,
        local: str | None,
        options: Iterable[Any] | None,
    ) -> httpcore2.AsyncNetworkStream:
        last: Exception = httpcore2.ConnectError("no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local, options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last = error
        raise last

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        raise EgressRefused("A provider does not reach unix sockets.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
