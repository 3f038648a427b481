"""Every route has a guard or is on the short list of public ones, and every address in a template leads to a route."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portal.access import PERMISSIONS
from portal.app import create_framework
from portal.settings import Settings
from portal.web.guards import SAFE_METHODS, GuardedRoute, guarded_routes

ROOT = Path(__file__).parents[2]
# OPTIONS is the framework's own and tells nothing but the methods.
ROUTES = sorted(
    route for route in guarded_routes(create_framework(Settings(data_dir="/nonexistent"))) if route.method != "OPTIONS"
)
OPEN_GUARDS = {"public", "machines"}
# Whoever adds a line here says why anybody may come in.
PUBLIC = {
    "GET /health": "a load balancer asks whether the process lives",
    "GET /ready": "a load balancer asks whether it may send requests",
    "GET /sign-in": "the door itself",
    "POST /sign-in": "the door itself",
    "GET /sign-in/link": "a one-time link from a mail or the terminal",
    "POST /sign-in/link": "a one-time link from a mail or the terminal",
    "POST /api/v1/notifications": "the function behind both doors reads the key itself",
    "POST /api/v1/notifications/bulk": "the function behind both doors reads the key itself",
    "GET /schema": "how to use the API is no secret",
    "GET /schema/openapi.json": "how to use the API is no secret",
    "GET /schema/{path:str}": "the framework's answer that there is nothing else below",
}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_names_its_permission_or_is_public_by_intention(route: GuardedRoute) -> None:
    name = f"{route.method} {route.path}"
    if OPEN_GUARDS & set(route.guards) or (not route.guards and route.method in SAFE_METHODS):
        assert name in PUBLIC, f"{name}: anybody may come in, and it is not on the list of public routes"
    else:
        assert route.guards, f"{name}: no guard"
        assert set(route.guards) <= {*PERMISSIONS, "signed_in"}
        assert name not in PUBLIC, f"{name}: the list says that it is public, and it is not"


def test_the_list_of_public_routes_has_no_dead_line() -> None:
    assert sorted(PUBLIC.keys() - {f"{route.method} {route.path}" for route in ROUTES}) == []


def _pattern(path: str) -> re.Pattern[str]:
    """What a route's path matches: one segment per parameter, the rest of the address for a `path` parameter."""
    parts = re.split(r"(\{[^}]+\})", path)
    return re.compile(
        "".join((".+" if ":path" in part else "[^/]+") if part.startswith("{") else re.escape(part) for part in parts)
    )


PATTERNS = [_pattern(route.path.rstrip("/") or "/") for route in ROUTES]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "templates").rglob("*.html")), ids=lambda path: str(path.relative_to(ROOT / "templates"))
)
def test_every_address_in_a_template_is_a_route(path: Path) -> None:
    source = re.sub(r"\{\{.*?\}\}", "x", path.read_text(), flags=re.DOTALL)
    named = re.findall(r"(?:hx-(?:get|post|put|patch|delete)|href|action)=\"(/[^\"{%]*)\"", source)
    addresses = {address.split("?")[0].split("#")[0].rstrip("/") or "/" for address in named}
    files = {address for address in addresses if address.startswith("/static/")}
    assert [each for each in sorted(files) if not (ROOT / each.lstrip("/")).is_file()] == []
    unknown = [each for each in sorted(addresses - files) if not any(pattern.fullmatch(each) for pattern in PATTERNS)]
    assert unknown == []
