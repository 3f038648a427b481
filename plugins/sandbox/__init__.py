"""A vendor that sends nothing: it keeps each message for the portal to show."""

from plugins.sandbox.provider import Sandbox
from portal.sdk import hookimpl


@hookimpl
def register_providers() -> list[type[Sandbox]]:
    return [Sandbox]
