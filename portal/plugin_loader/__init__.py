"""Finds plugins, imports the enabled ones, and holds what they gave. Knows nothing of accounts, routes or sending."""

from portal.plugin_loader.blame import blame, forgive
from portal.plugin_loader.discover import Found, discover
from portal.plugin_loader.load import load
from portal.plugin_loader.registry import PluginInfo, Registry

__all__ = ["Found", "PluginInfo", "Registry", "blame", "discover", "forgive", "load"]
