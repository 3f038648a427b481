"""A vendor with access tokens that expire, and signed callbacks."""

from plugins.acorn.provider import Acorn
from portal.sdk import hookimpl


@hookimpl
def register_providers() -> list[type[Acorn]]:
    return [Acorn]
