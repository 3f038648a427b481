"""The web application: settings and parts in, one ASGI application out. No logic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins.htmx import HTMXRequest
from litestar.types import ASGIApp

import portal
from portal import __version__
from portal.access.key_cache import saving_use
from portal.kv import Limiter
from portal.notifications.accept import Acceptor
from portal.notifications.bulk import BulkDoor
from portal.notifications.fast_door import FastDoor
from portal.notifications.intake import Intake
from portal.notifications.validate import Validator
from portal.ops.overview import banners
from portal.parts import Parts, open_parts
from portal.runtime import logs
from portal.runtime.memory import settle_heap
from portal.settings import Settings, load
from portal.web import wiring
from portal.web.documented import document_errors

# Handlers ask for these by name.
PROVIDED = (
    "settings", "db", "kv", "bell", "registry", "keyring", "keys", "templates", "renderer", "accounts", "categories",
    "stops", "intake", "bulk", "acceptor", "limiter", "parts", "revisions", "validator",
)  # fmt: skip


def create() -> ASGIApp:
    """The application as a server's factory makes it, with the settings of the environment."""
    settings = load()
    logs.configure(settings.log_level, as_json=settings.log_json)
    return create_app(settings, on_started=settle_heap)


def create_app(settings: Settings, *, on_started: Callable[[], None] | None = None) -> ASGIApp:
    """The application with everything around it; `on_started` is called when its caches are full."""
    framework = create_framework(settings)
    framework.state.on_started = on_started
    # The fast door is plain ASGI; the framework's own types for it are stricter than the protocol.
    inner: Any = wiring.around_framework(framework)
    fast: Any = FastDoor(inner, lambda: framework.state.intake)
    return wiring.around_everything(fast, settings)


def create_framework(settings: Settings) -> Litestar:
    """The Litestar application alone; the tests of routes and the OpenAPI document use it."""
    app = Litestar(
        route_handlers=[
            Router(path="/api/v1", route_handlers=_routers("api", "api_router")),
            *_routers("api", "router"),
            *_routers("pages", "pages_router"),
        ],
        dependencies={
            **wiring.DEPENDENCIES,
            **{name: Provide(_giver(name), sync_to_thread=False) for name in PROVIDED},
        },
        exception_handlers=wiring.EXCEPTION_HANDLERS,
        lifespan=[_lifespan],
        # `portal.runtime.logs` has set logging up; the framework must not do it again.
        logging_config=None,
        request_class=HTMXRequest,
        state=State({"settings": settings}),
        openapi_config=_openapi(settings),
        # Each handler's own limit; the edge has refused larger bodies before.
        request_max_body_size=settings.max_bulk_bytes,
    )
    document_errors(app)
    wiring.prepare(app)
    return app


def _giver(name: str) -> Callable[[State], Any]:
    def give(state: State) -> Any:
        return state[name]  # not an attribute: `keys` is a method of every mapping

    return give


def _routers(module: str, name: str) -> list[Any]:
    """`name` of every feature's `module`: a feature registers itself by having it."""
    found = []
    for room in iter_modules(portal.__path__, "portal."):
        if room.ispkg and find_spec(f"{room.name}.{module}") is not None:
            router = getattr(import_module(f"{room.name}.{module}"), name, None)
            if router is not None:
                found.append(router)
    return found


def _openapi(settings: Settings) -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Push Portal",
        version=__version__,
        path="/schema",
        # The document alone: pages that draw it load scripts from elsewhere.
        render_plugins=[JsonRenderPlugin()],
        components=[
            Components(
                security_schemes={"key": SecurityScheme(type="http", scheme="bearer", description="An API key.")}
            )
        ],
        security=[{"key": []}],
    )


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    async with open_parts(settings) as parts, saving_use(parts.keys):
        limiter = await Limiter(parts.kv, processes=settings.web_processes).start()
        acceptor = make_acceptor(parts)
        validator = Validator(parts.registry, parts.categories)
        intake = Intake(
            db=parts.db,
            keys=parts.keys,
            limiter=limiter,
            templates=parts.templates,
            validator=validator,
            acceptor=acceptor,
            max_body=settings.max_body_bytes,
            rate=settings.rate_per_second,
        )
        bulk = BulkDoor(
            db=parts.db,
            intake=intake,
            acceptor=acceptor,
            categories=parts.categories,
            max_items=settings.max_bulk_items,
            max_item_bytes=settings.max_body_bytes,
            threshold=settings.bulk_approval_threshold,
        )
        given = {field: getattr(parts, field) for field in parts.__struct_fields__}
        given |= {"parts": parts, "limiter": limiter, "acceptor": acceptor, "validator": validator}
        given |= {"intake": intake, "bulk": bulk}
        app.state.update(given)
        app.state.banners = lambda: banners(parts)
        if (on_started := app.state.get("on_started")) is not None:
            on_started()
        try:
            yield
        finally:
            await acceptor.close()
            await intake.close()
            await limiter.close()


def make_acceptor(parts: Parts) -> Acceptor:
    """The waiting room of a process with these parts."""
    settings = parts.settings
    sizes = {"high": settings.high_chunk_size, "medium": settings.chunk_size, "low": settings.chunk_size}
    return Acceptor(
        parts.db,
        parts.bell,
        waiting=settings.accept_waiting,
        waiting_bytes=settings.accept_waiting_bytes,
        chunk_sizes=sizes,
    )
