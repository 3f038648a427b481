"""The channel `webhook` and its provider."""

from plugins.webhook.channel import Webhook
from plugins.webhook.provider import SignedPost
from portal.sdk import hookimpl


@hookimpl
def register_channels() -> list[type[Webhook]]:
    return [Webhook]


@hookimpl
def register_providers() -> list[type[SignedPost]]:
    return [SignedPost]
