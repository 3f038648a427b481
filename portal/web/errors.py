"""Errors → answers: a problem document for machines, a page or a fragment for people. Nothing else maps them."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from portal.errors import InvalidInput, NotSignedIn, PortalError
from portal.web.problems import problem, problem_body, status_of
from portal.web.render import fragment_target, go_to, is_htmx, page
from portal.web.visit import SCOPE_KEY

log = logging.getLogger(__name__)

AnyRequest = Request[Any, Any, Any]
MACHINE_PATHS = ("/api/", "/callbacks/", "/schema", "/health", "/ready", "/metrics", "/events")
SIGN_IN = "/sign-in"
UNEXPECTED = "Something went wrong on our side."


def on_portal_error(request: AnyRequest, error: PortalError) -> Response[Any]:
    """An error that the caller can understand."""
    status = status_of(error)
    if for_machines(request):
        status, headers, body = problem(error, request_id(request))
        plain = {name.decode(): value.decode() for name, value in headers if name != b"content-type"}
        return Response(body, status_code=status, headers=plain, media_type="application/problem+json")
    if isinstance(error, NotSignedIn):
        return _to_sign_in(request)
    fields = error.fields if isinstance(error, InvalidInput) else {}
    return _for_people(request, status, error.message, fields)


def on_http_error(request: AnyRequest, error: HTTPException) -> Response[Any]:
    """An error that the framework found: no such route, a method that is not there, a value that does not fit."""
    status = error.status_code
    if status >= 500:
        wrong = _misjudged_fields(error)
        return on_portal_error(request, InvalidInput(wrong)) if wrong else on_unexpected(request, error)
    fields = _invalid_fields(error)
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(status, "invalid_input")
    detail = _framework_sentence(error, status)
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    if for_machines(request):
        body = problem_body(status, code, detail, fields, request_id(request))
        return Response(body, status_code=status, headers=headers, media_type="application/problem+json")
    return _for_people(request, status, detail, fields)


def on_unexpected(request: AnyRequest, error: Exception) -> Response[Any]:
    """A mistake of ours. The log has all of it, the answer only the number to ask for."""
    number = request_id(request)
    log.error("unexpected error, request %s %s %s", number, request.method, request.url.path, exc_info=error)
    if for_machines(request):
        body = problem_body(500, "internal_error", UNEXPECTED, None, number)
        return Response(body, status_code=500, media_type="application/problem+json")
    try:
        return _for_people(request, 500, UNEXPECTED, {})
    except Exception:  # whatever broke the page may break the error page as well
        log.exception("the error page itself failed, request %s", number)
        return Response(f"{UNEXPECTED} Request {number}", status_code=500, media_type="text/plain")


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    PortalError: on_portal_error,
    HTTPException: on_http_error,
    Exception: on_unexpected,
}


def for_machines(request: AnyRequest) -> bool:
    """True when a program asked: by the path, or because it does not accept HTML."""
    if request.url.path.startswith(MACHINE_PATHS):
        return True
    return "text/html" not in request.headers.get("accept", "") and not is_htmx(request)


def request_id(request: AnyRequest) -> str:
    """The id that the log knows this request by."""
    return str(request.scope.get("portal.request_id", ""))


def _to_sign_in(request: AnyRequest) -> Response[str]:
    if is_htmx(request):
        return Response("", status_code=401, media_type="text/html", headers=go_to(SIGN_IN))
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    after = f"?next={quote(wanted)}" if request.method == "GET" and wanted != "/" else ""
    return Response("", status_code=303, media_type="text/html", headers={"Location": SIGN_IN + after})


def _for_people(request: AnyRequest, status: int, message: str, fields: dict[str, str]) -> Response[Any]:
    if SCOPE_KEY not in request.scope:
        return Response(message, status_code=status, media_type="text/plain")
    return page(
        request,
        "errors/error.html",
        block="problem",
        status=status,
        headers=fragment_target("#flash") if is_htmx(request) else None,
        error_status=status,
        error_title=HTTPStatus(status).phrase,
        error_message=message,
        error_fields=fields,
        error_request_id=request_id(request),
    )


def _invalid_fields(error: HTTPException) -> dict[str, str]:
    if not isinstance(error, ValidationException) or not isinstance(error.extra, list):
        return {}
    found = {}
    for item in error.extra:
        if isinstance(item, dict):
            found[str(item.get("key", "body"))] = str(item.get("message", "not valid"))
    return found


def _misjudged_fields(error: HTTPException) -> dict[str, str]:
    """The framework takes a field of the body for the dependency of the same name (`settings`, `parts`) and calls a
    wrong value our own mistake; its cause still says where the value stood.
    """
    if not isinstance(error.__cause__, msgspec.ValidationError):
        return {}
    said, _, place = str(error.__cause__).partition(" - at `$.data.")
    return {place.rstrip("`"): said} if place else {}


def _framework_sentence(error: HTTPException, status: int) -> str:
    """The framework's own words name handlers and addresses; say it in ours."""
    if status == 404:
        return "There is nothing at this address."
    if status == 405:
        return "This address does not take that method."
    if isinstance(error, ValidationException):
        return "The request does not fit; see errors."
    return error.detail if status in (400, 413, 415) else HTTPStatus(status).phrase
