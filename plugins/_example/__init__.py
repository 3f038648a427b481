"""Text messages through Example."""

from plugins._example.provider import Example
from portal.sdk import hookimpl


@hookimpl
def register_providers() -> list[type[Example]]:
    return [Example]
