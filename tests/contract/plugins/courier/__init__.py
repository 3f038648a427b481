"""A vendor that takes many mails in one call."""

from plugins.courier.provider import Courier
from portal.sdk import hookimpl


@hookimpl
def register_providers() -> list[type[Courier]]:
    return [Courier]
