"""Errors as problem+json (RFC 9457), without a framework: both doors of the API answer with it."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import msgspec

from portal.errors import (
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    NotSignedIn,
    PortalError,
    PreconditionFailed,
    TooLarge,
    TooMany,
    Unavailable,
)

PROBLEM_JSON = (b"content-type", b"application/problem+json")

_encoder = msgspec.json.Encoder()
_STATUS: dict[type[PortalError], int] = {
    InvalidInput: 400,
    NotSignedIn: 401,
    NotAllowed: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    TooMany: 429,
    Unavailable: 503,
}
# The few errors whose status follows from their code, because the same word means another thing to HTTP.
_STATUS_BY_CODE = {"idempotency_mismatch": 422, "unsupported_media_type": 415, "method_not_allowed": 405}

Headers = list[tuple[bytes, bytes]]


def status_of(error: PortalError) -> int:
    """The HTTP status of an error; 500 for one that nobody gave a status."""
    if error.code in _STATUS_BY_CODE:
        return _STATUS_BY_CODE[error.code]
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def problem(error: PortalError, request_id: str = "") -> tuple[int, Headers, bytes]:
    """`(status, headers, body)` of an error; the headers hold the content type and, where it applies, Retry-After."""
    status = status_of(error)
    headers = [PROBLEM_JSON, *retry_headers(error)]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return status, headers, problem_body(status, error.code, error.message, _fields(error), request_id)


def problem_body(
    status: int, code: str, detail: str, fields: dict[str, str] | None = None, request_id: str = ""
) -> bytes:
    """The JSON: type, title, status, detail, code, errors [{field, message}] and request_id where known."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if fields:
        body["errors"] = _listed(fields)
    if request_id:
        body["request_id"] = request_id
    return _encoder.encode(body)


def retry_headers(error: PortalError) -> Headers:
    """`Retry-After` in whole seconds, rounded up, for errors that say when to come back."""
    seconds = getattr(error, "retry_after", None)
    return [] if seconds is None else [(b"retry-after", b"%d" % max(1, math.ceil(seconds)))]


def problem_fields(error: PortalError) -> list[dict[str, str]]:
    """The fields that an error names, as they stand in its problem document."""
    return _listed(_fields(error) or {})


def _listed(fields: dict[str, str]) -> list[dict[str, str]]:
    return [{"field": field, "message": message} for field, message in fields.items()]


def _fields(error: PortalError) -> dict[str, str] | None:
    return error.fields if isinstance(error, InvalidInput) else None
