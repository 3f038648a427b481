"""What the OpenAPI document says of errors: every route names the ones it may answer with."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct

# Where programs ask, and what is described to them.
DESCRIBED = ("/api/", "/metrics")
PROBLEM_TYPE: Any = "application/problem+json"


class ProblemField(Struct):
    """One wrong field: its path and what was expected of it."""

    field: str
    message: str


class Problem(Struct, kw_only=True):
    """Any error of the API (RFC 9457). `code` is stable; clients may branch on it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemField] = []
    request_id: str = ""


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """`responses=` of a handler: the errors that any guarded route has, and these."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            generate_examples=False,
            description=HTTPStatus(status).phrase,
            media_type=PROBLEM_TYPE,
        )
        for status in sorted({401, 403, 429, 503, *statuses})
    }


def document_errors(app: Litestar) -> None:
    """Give every route of the API the errors that follow from its form; what a handler names itself stays."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            if isinstance(handler, HTTPRouteHandler) and route.path.startswith(DESCRIBED):
                handler.responses = {**problems(*_usual(route.path, handler)), **(handler.responses or {})}


def _usual(path: str, handler: HTTPRouteHandler) -> set[int]:
    """400 for what cannot be read, 404 for what is not there, 409 and 412 for changes, 413 and 415 for bodies."""
    methods = {str(method) for method in handler.http_methods}
    found = {400}
    if "{" in path:
        found |= {404} | ({409, 412} if methods & {"PATCH", "PUT", "DELETE"} else set())
    if methods & {"POST", "PATCH", "PUT"}:
        found |= {409, 413, 415}
    return found


def body_schema(shapes: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI `requestBody` of a handler that decodes its body itself: media type → the type of the body."""
    return {
        "required": True,
        "content": {
            media_type: {"schema": _inline(msgspec.json.schema(shape))} for media_type, shape in shapes.items()
        },
    }


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without references: they would point to the root of another document. Our shapes are not recursive."""
    defined = schema.pop("$defs", {})

    def expand(part: Any) -> Any:
        if isinstance(part, list):
            return [expand(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return expand(defined[part["$ref"].rpartition("/")[2]])
        return {name: expand(value) for name, value in part.items()}

    expanded: dict[str, Any] = expand(schema)
    return expanded
