"""What `portal.app` needs from the web layer, in the order it needs it.

The application's `state` must hold `settings`, `db`, `keyring` and `keys` (a `KeyCache`) when requests arrive; `jinja`
and `mounted` are set by `prepare`; `banners`, when set, is a function that returns the sentences of the banner.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.di import Provide
from litestar.types import ASGIApp

from portal.settings import Settings
from portal.web.assets import Assets, AssetsMiddleware, project_folder
from portal.web.edge import Edge
from portal.web.errors import EXCEPTION_HANDLERS
from portal.web.guards import provide_actor
from portal.web.render import make_environment
from portal.web.visit import VisitMiddleware

__all__ = ["DEPENDENCIES", "EXCEPTION_HANDLERS", "around_everything", "around_framework", "prepare"]

# The dependency `actor`; the app adds db, settings and the caches.
DEPENDENCIES: dict[str, Provide] = {"actor": Provide(provide_actor, sync_to_thread=False)}


def prepare(
    app: Litestar,
    *,
    plugin_templates: Mapping[str, Path] | None = None,
    plugin_static: Mapping[str, Path] | None = None,
    **template_globals: Any,
) -> None:
    """Set what pages need on the application's state: the template environment, the assets, the known pages."""
    assets = Assets(project_folder("static"), dict(plugin_static or {}))
    app.state.assets = assets
    app.state.jinja = make_environment(project_folder("templates"), assets, plugin_templates, **template_globals)
    app.state.mounted = frozenset(route.path for route in app.routes)


def around_framework(app: Litestar) -> ASGIApp:
    """The framework with static files in front and the visit (session, key, cookies) around it."""
    visits = VisitMiddleware(app, app.state, app.state.settings)
    return AssetsMiddleware(visits, app.state.assets)


def around_everything(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The outermost layer, also around the fast door: request id, host check, body cap, headers, access log."""
    return Edge(app, settings)
