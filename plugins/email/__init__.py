"""The channel `email` and the provider `smtp`."""

from plugins.email.channel import Email
from plugins.email.provider import Smtp
from portal.sdk import hookimpl


@hookimpl
def register_channels() -> list[type[Email]]:
    return [Email]


@hookimpl
def register_providers() -> list[type[Smtp]]:
    return [Smtp]
