"""A vendor that is asked what happened."""

from plugins.carrier.provider import Carrier
from portal.sdk import hookimpl


@hookimpl
def register_providers() -> list[type[Carrier]]:
    return [Carrier]
