"""Health for load balancers and operators."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from portal.notifications.accept import Acceptor
from portal.ops.health import Readiness, readiness
from portal.ops.metrics import CONTENT_TYPE, metrics
from portal.parts import Parts
from portal.web.guards import public, require


@get("/health", guards=[public], tags=["operations"])
async def health() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@get("/ready", guards=[public], tags=["operations"])
async def ready(parts: Parts) -> Response[Readiness]:
    """The database is reached; says which parts are degraded."""
    state = await readiness(parts.db, parts.kv, parts.revisions, parts.registry)
    return Response(state, status_code=HTTP_200_OK if state.ready else HTTP_503_SERVICE_UNAVAILABLE)


@get("/metrics", guards=[require("notifications:read")], tags=["operations"], media_type="text/plain")
async def metrics_text(parts: Parts, acceptor: Acceptor) -> Response[bytes]:
    """Figures for Prometheus; scrape with an API key that has the scope notifications:read."""
    return Response(await metrics(parts.db, parts.kv, acceptor), media_type=CONTENT_TYPE)


router = Router(path="/", route_handlers=[health, ready, metrics_text])
