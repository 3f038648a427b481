"""The Python client of the JSON API: light, and independent of the rest of the portal."""

from portal.client.http import Client, ClientError

__all__ = ["Client", "ClientError"]
