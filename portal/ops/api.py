"""Health for load balancers and operators."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from portal.ops.health import Readiness, readiness
from portal.parts import Parts
from portal.web.guards import public


@get("/health", guards=[public], tags=["operations"])
async def health() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@get("/ready", guards=[public], tags=["operations"])
async def ready(parts: Parts) -> Response[Readiness]:
    """The database is reached; says which parts are degraded."""
    state = await readiness(parts.db, parts.kv, parts.revisions, parts.registry)
    return Response(state, status_code=HTTP_200_OK if state.ready else HTTP_503_SERVICE_UNAVAILABLE)


router = Router(path="/", route_handlers=[health, ready])
