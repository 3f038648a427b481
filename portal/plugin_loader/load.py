"""Imports the enabled plugins, each apart from the others, and collects what they register.

A plugin that raises anything, gives something else than the contract says, or does not come back from its import is
shown with the reason; the start goes on. Plugins are trusted code: this protects against mistakes, not against malice.
"""

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from portal.plugin_loader.blame import FILE, LIMIT, blamed
from portal.plugin_loader.discover import INSTALLED, Found, discover
from portal.plugin_loader.registry import PluginInfo, Registry
from portal.plugin_loader.surroundings import Surroundings
from portal.plugin_loader.verify import channel_problem, provider_problem
from portal.sdk import PROJECT, ChannelAdapter, Provider, hookspecs
from portal.settings import Settings

PACKAGE = "plugins"
IMPORT_SECONDS = 20.0


class Refused(Exception):
    """A plugin did not keep the contract; the message is the reason that is shown."""


def load(settings: Settings, rooms: Sequence[ModuleType] = (), *, import_seconds: float = IMPORT_SECONDS) -> Registry:
    """What the enabled plugins and the given rooms of the portal register. Never raises because of a plugin."""
    registry = Registry()
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    for room in rooms:
        name = room.__name__.rpartition(".")[2]
        info = PluginInfo(name=name, title=name, source="portal", location=room.__name__, enabled=True)
        _admit(registry, manager, info, partial(_same, room), import_seconds)
    times = blamed(settings.data_path)
    for found in discover(settings.plugins_dir):
        info = _info(found, settings.plugins)
        if times[info.name] >= LIMIT:
            info.problem = (
                f"Held up a process {times[info.name]} times within a day and is not loaded; to try it again, remove "
                f"its lines from {settings.data_path / FILE}."
            )
        if info.enabled and info.problem is None:
            _admit(registry, manager, info, partial(_module, found), import_seconds)
        else:
            registry.plugins.append(info)
    _name_missing(registry, settings.plugins)
    return registry


def _info(found: Found, enabled: Sequence[str]) -> PluginInfo:
    return PluginInfo(
        name=found.name,
        title=found.title,
        version=found.version,
        description=found.description,
        source="folder" if found.folder else "package",
        location=str(found.folder or (found.entry_point and found.entry_point.value) or ""),
        enabled=found.name in enabled,
        problem=found.problem,
    )


def _name_missing(registry: Registry, enabled: Sequence[str]) -> None:
    known = {info.name for info in registry.plugins}
    for name in dict.fromkeys(enabled):
        if name not in known:
            problem = "Enabled, but neither a folder with a plugin.toml nor an installed package has this name."
            registry.plugins.append(PluginInfo(name=name, title=name, source="", enabled=True, problem=problem))


def _admit(
    registry: Registry, manager: pluggy.PluginManager, info: PluginInfo, get: Callable[[], Any], seconds: float
) -> None:
    """All that a plugin registers, or nothing and the reason."""
    registry.plugins.append(info)
    with Surroundings() as surroundings:
        try:
            channels, providers = _within(seconds, lambda: _collect(manager, info.name, get()))
            _check_names(registry, channels, providers)
        except Refused as refused:
            info.problem = str(refused)
        else:
            registry.channels.update({channel.name: channel for channel in channels})
            registry.providers.update({provider.name: provider for provider in providers})
            registry.scanners.update(_scanner(manager, info.name))
            info.channels = [channel.name for channel in channels]
            info.providers = [provider.name for provider in providers]
    info.warnings = surroundings.changes


def _sentence(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """Run `work` in a thread of its own, so that a plugin that never comes back cannot stop the start."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend((work(), None))
        except BaseException as error:
            outcome.extend((None, error))

    thread = threading.Thread(target=run, name="plugin-import", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise Refused(f"Did not finish loading within {seconds:g} seconds.")
    value, error = outcome
    if isinstance(error, Refused):
        raise error
    if error is not None:
        # Whatever it raised in its own thread is its own doing, an exit or an interrupt too.
        raise Refused(_sentence(error)) from error
    return value


def _collect(
    manager: pluggy.PluginManager, name: str, module: Any
) -> tuple[list[ChannelAdapter], list[type[Provider]]]:
    manager.register(module, name)
    try:
        for call in manager.get_hookcallers(module) or []:
            if not call.has_spec() and not _is_optional(call, name):
                raise Refused(f"Implements the hook {call.name}, which this version of the portal does not have.")
        channels = [_channel(kind) for kind in _called(manager.hook.register_channels, name)]
        providers = [_provider(kind) for kind in _called(manager.hook.register_providers, name)]
    except BaseException:
        manager.unregister(name=name)
        raise
    return channels, providers


def _is_optional(call: pluggy.HookCaller, name: str) -> bool:
    return all(impl.optionalhook for impl in call.get_hookimpls() if impl.plugin_name == name)


def _called(hook: pluggy.HookCaller, name: str) -> list[Any]:
    """The list that this plugin's own implementation returns; one that it does not have gives nothing."""
    given: list[Any] = []
    for impl in hook.get_hookimpls():
        if impl.plugin_name == name:
            result = impl.function()
            if not isinstance(result, (list, tuple)):
                raise Refused(f"{hook.name} returned {type(result).__name__}; expected a list of classes.")
            given.extend(result)
    return given


def _scanner(manager: pluggy.PluginManager, name: str) -> dict[str, Callable[[str, str, bytes], str | None]]:
    """This plugin's own look at uploaded files, if it has one."""
    found = [impl for impl in manager.hook.scan_attachment.get_hookimpls() if impl.plugin_name == name]
    return {name: partial(_scan, found[-1])} if found else {}


def _scan(impl: pluggy.HookImpl, name: str, content_type: str, content: bytes) -> str | None:
    given: dict[str, Any] = {"name": name, "content_type": content_type, "content": content}
    # An implementation may leave out arguments that it does not need.
    refusal: Any = impl.function(**{argument: given[argument] for argument in impl.argnames})
    return None if refusal is None else str(refusal)


def _channel(kind: Any) -> ChannelAdapter:
    problem = channel_problem(kind)
    if problem is not None:
        raise Refused(problem)
    adapter: ChannelAdapter = kind()
    return adapter


def _provider(kind: Any) -> type[Provider]:
    problem = provider_problem(kind)
    if problem is not None:
        raise Refused(problem)
    provider: type[Provider] = kind
    return provider


def _check_names(registry: Registry, channels: list[ChannelAdapter], providers: list[type[Provider]]) -> None:
    for what, names, taken in (
        ("channel", [channel.name for channel in channels], registry.channels),
        ("provider", [provider.name for provider in providers], registry.providers),
    ):
        for name in names:
            if name in taken or names.count(name) > 1:
                raise Refused(f"The {what} {name} is registered already, by another plugin or twice by this one.")


def _same(room: ModuleType) -> ModuleType:
    return room


def _module(found: Found) -> Any:
    if found.entry_point is not None:
        return found.entry_point.load()
    assert found.folder is not None
    return _import_folder(found.name, found.folder)


def _import_folder(name: str, folder: Path) -> ModuleType:
    """The folder as the package `plugins.<name>`, wherever it lies, so that its own absolute imports work."""
    init = folder / "__init__.py"
    if not init.is_file():
        raise Refused(f"{folder} has no __init__.py.")
    _parent_package()
    full = f"{PACKAGE}.{name}"
    known = sys.modules.get(full)
    if known is not None:
        if Path(known.__file__ or "").resolve() == init.resolve():
            return known
        _forget(full)
    spec = importlib.util.spec_from_file_location(full, init, submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _forget(full)
        raise
    return module


def _parent_package() -> None:
    if PACKAGE in sys.modules:
        return
    # By its place and not by name: the working directory may hold another folder that is called `plugins`.
    spec = importlib.util.spec_from_file_location(
        PACKAGE, INSTALLED / "__init__.py", submodule_search_locations=[str(INSTALLED)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


def _forget(full: str) -> None:
    for name in [name for name in sys.modules if name == full or name.startswith(full + ".")]:
        del sys.modules[name]
