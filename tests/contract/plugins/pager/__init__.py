"""A channel that nothing else knows, and its provider."""

from plugins.pager.channel import Pager
from plugins.pager.provider import PagerGateway
from portal.sdk import hookimpl


@hookimpl
def register_channels() -> list[type[Pager]]:
    return [Pager]


@hookimpl
def register_providers() -> list[type[PagerGateway]]:
    return [PagerGateway]
