"""Every route has a guard or is on the short list of public ones, and the handlers stay what they are for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.access.actor import PERMISSIONS
from portal.settings import Settings

litestar_app = pytest.importorskip("portal.app", reason="portal.app is not written yet")
from litestar.handlers import HTTPRouteHandler  # noqa: E402 - after the check that there is an app

ROOT = Path(__file__).parents[2]
APP = litestar_app.create_app(Settings(data_dir="/nonexistent"))
# Whoever adds a line here says why everybody may see it.
PUBLIC = {
    "/health": "a load balancer asks whether the process lives",
    "/ready": "a load balancer asks whether it may send requests",
    "/sign-in": "the door itself",
    "/static/{file_path:path}": "style sheets and scripts of the sign-in page",
}


def _routes() -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in APP.routes:
        for handler in getattr(route, "route_handlers", []):
            if isinstance(handler, HTTPRouteHandler):
                for method in sorted(handler.http_methods - {"OPTIONS"}):
                    yield route.path, str(method), handler


ROUTES = list(_routes())


@pytest.mark.parametrize(("path", "method", "handler"), ROUTES, ids=[f"{method} {path}" for path, method, _ in ROUTES])
def test_a_route_names_its_permission_or_is_public_by_intention(path: str, method: str, handler: Any) -> None:
    permission = handler.opt.get("permission")
    if permission is None:
        assert path in PUBLIC, "no guard, and not on the list of public routes"
    else:
        assert path not in PUBLIC
        assert permission in PERMISSIONS
        assert handler.guards, "the permission is named but nothing asks for it"


def test_the_list_of_public_routes_has_no_dead_line() -> None:
    assert PUBLIC.keys() <= {path for path, _, _ in ROUTES}


@pytest.mark.parametrize("path", sorted((ROOT / "templates").rglob("*.html")), ids=lambda path: path.name)
def test_every_address_in_a_template_is_a_route(path: Path) -> None:
    source = re.sub(r"\{\{.*?\}\}", "x", path.read_text())
    named = re.findall(r"(?:hx-(?:get|post|put|patch|delete)|href|action)=\"(/[^\"{%]*)\"", source)
    patterns = [
        re.compile(re.sub(r"\\?\{[^}]*\\?\}", "[^/]+", re.escape(route).replace(r"\{", "{").replace(r"\}", "}")))
        for route, _, _ in ROUTES
    ]
    addresses = {address.split("?")[0].split("#")[0].rstrip("/") or "/" for address in named}
    assert [
        address for address in sorted(addresses) if not any(pattern.fullmatch(address) for pattern in patterns)
    ] == []
