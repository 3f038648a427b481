"""The address is a URL, the message is JSON."""

import ipaddress
import re
from urllib.parse import urlsplit

import httpx2

from portal.sdk import ChannelAdapter, Part

EXPECTED = "An http or https address such as https://example.com/hooks/orders."
# 127.1, 2130706433, 0x7f000001, 0177.0.0.1: forms that resolvers take for an address and people for a name.
NUMERIC_LABEL = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
MAX_URL = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}


class Webhook(ChannelAdapter):
    """One POST per message."""

    name = "webhook"
    title = "Webhook"
    parts = {"body": Part(kind="json", title="Body", description="JSON, sent as it is.", max_length=262_144)}
    address_title = "URL"
    address_example = "https://example.com/hooks/orders"
    preview = "json"

    def normalise(self, address: str) -> str:
        """Lower-case scheme and host, no user, no fragment, no default port."""
        text = address.strip()
        if len(text) > MAX_URL or any(mark <= " " or mark == "\x7f" for mark in text):
            raise ValueError(EXPECTED)
        try:
            url = httpx2.URL(text)
        except (httpx2.InvalidURL, ValueError):
            raise ValueError(EXPECTED) from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(EXPECTED)
        if url.userinfo or "@" in urlsplit(text).netloc:
            raise ValueError("An address without a user name or password in it; the signature tells who calls.")
        if url.fragment:
            raise ValueError("An address without a fragment (#…).")
        if not _is_plain_host(url.host):
            raise ValueError("A host name, or an IP address in its usual form.")
        if url.port == DEFAULT_PORTS[url.scheme]:
            url = url.copy_with(port=None)
        return str(url)

    def mask(self, address: str) -> str:
        """Scheme and host; paths and queries often hold a secret."""
        url = httpx2.URL(address)
        return f"{url.scheme}://{url.host}/•••"


def _is_plain_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return not NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2])
    return True
