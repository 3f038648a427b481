"""Every hook a plugin may implement. One function, one sentence, one heading in docs/hooks.md, one test.

Hooks are called one by one at start, each plugin apart from the others; what one raises is shown beside its name and
stops nothing else.
"""

import pluggy

from portal.sdk.channel import ChannelAdapter
from portal.sdk.provider import Provider

PROJECT = "portal"
API_VERSION = 1
"""The version of this contract; `plugin.toml` names the one a plugin was written for."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_channels() -> list[type[ChannelAdapter]]:  # type: ignore[empty-body]
    """Return the channel adapter classes of this plugin."""


@hookspec
def register_providers() -> list[type[Provider]]:  # type: ignore[empty-body]
    """Return the provider classes of this plugin."""


@hookspec
def scan_attachment(name: str, content_type: str, content: bytes) -> str | None:
    """Return why this uploaded file must not be taken in, or None when nothing is wrong with it.

    Called in a thread for every upload, before anything is stored; what it raises, and more than 30 seconds, refuse
    the upload for now. The sentence is shown to whoever uploads.
    """
