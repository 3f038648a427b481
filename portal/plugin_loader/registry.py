"""What the plugins gave."""

from collections.abc import Callable

from msgspec import Struct

from portal.sdk import EVERY_CHANNEL, ChannelAdapter, Provider


class PluginInfo(Struct, kw_only=True):
    """One plugin as the portal shows it.

    `source` is where it was found: `folder`, `package` (an entry point) or `portal` (a room of the portal itself).
    `problem` is why an enabled plugin gives nothing; `warnings` are things it did while loading that it should not do.
    """

    name: str
    title: str
    version: str = ""
    description: str = ""
    source: str = "folder"
    location: str = ""
    enabled: bool = False
    problem: str | None = None
    warnings: list[str] = []
    channels: list[str] = []
    providers: list[str] = []


class Registry:
    """Channels and providers by name, and every plugin that was found. Does not change while a process lives."""

    def __init__(self) -> None:
        self.channels: dict[str, ChannelAdapter] = {}
        self.providers: dict[str, type[Provider]] = {}
        self.plugins: list[PluginInfo] = []
        # Plugin → what it says about an uploaded file (name, content type, content): None, or why it is refused.
        self.scanners: dict[str, Callable[[str, str, bytes], str | None]] = {}

    def providers_of(self, channel: str) -> list[type[Provider]]:
        """The providers that can take messages of this channel, those of the channel alone first."""
        fitting = [provider for provider in self.providers.values() if provider.channel in (channel, EVERY_CHANNEL)]
        return sorted(fitting, key=lambda provider: (provider.channel == EVERY_CHANNEL, provider.title))

    def plugin_at(self, module: str, filename: str) -> str | None:
        """The name of the plugin that this code belongs to, by the name of its module and the file it is in."""
        for info in self.plugins:
            package = f"plugins.{info.name}" if info.source == "folder" else info.location.partition(":")[0]
            if info.source != "portal" and package and (module == package or module.startswith(f"{package}.")):
                return info.name
            if info.source == "folder" and filename.startswith(f"{info.location}/"):
                return info.name
        return None

    def plugin_of(self, provider: str) -> PluginInfo | None:
        """The plugin that registered this provider."""
        return next((info for info in self.plugins if provider in info.providers), None)
