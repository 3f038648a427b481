"""Message templates: what people write, checked, versioned and rendered. It sends nothing and knows no channel by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portal.message_templates.cache import TemplateEntry, Templates
    from portal.message_templates.render import Renderer, RenderFailed, VersionEntry

__all__ = ["RenderFailed", "Renderer", "TemplateEntry", "Templates", "VersionEntry"]
_HOMES = {
    "TemplateEntry": "cache",
    "Templates": "cache",
    "VersionEntry": "render",
    "Renderer": "render",
    "RenderFailed": "render",
}


def __getattr__(name: str) -> Any:
    """Imported when asked for: the child that renders untrusted templates must not carry the database along."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
