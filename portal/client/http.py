"""Sending from Python.

with Client("https://push.example.com", "pp_live_…") as client:
    client.send({"template": "welcome", "to": {"channel": "email", "address": "ann@example.com"}})
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec

TRIES = 5
BULK_AT_ONCE = 10_000
AGAIN = frozenset({429, 502, 503, 504})


class ClientError(Exception):
    """The portal refused. `status` is the HTTP status (0: not reached), `code` the portal's own, `errors` the fields."""

    def __init__(self, status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors or []


class Client:
    """One connection pool to one portal. Not for use from several threads at once."""

    def __init__(
        self, url: str, key: str, *, timeout: float = 10.0, transport: httpx2.BaseTransport | None = None
    ) -> None:
        """`url` without a path; `key` an API key; `timeout` in seconds for each try."""
        self._http = httpx2.Client(
            base_url=url.rstrip("/") + "/api/v1",
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, notification: Mapping[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        """Accept one notification: `{"id", "status"}`.

        Safe against lost answers: every try carries the same idempotency key, a random one unless you give yours.
        Raises `ClientError`.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        answer: dict[str, Any] = self._request("POST", "/notifications", headers, msgspec.json.encode(notification))
        return answer

    def send_many(self, notifications: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Accept many: one result per notification, in order; an `error` in a result says what was wrong with it.

        Notifications without an `idempotency_key` get a random one, so that a repeated try sends nothing twice.
        """
        lines: list[bytes] = []
        for notification in notifications:
            lines.append(msgspec.json.encode({"idempotency_key": str(uuid.uuid4()), **notification}))
            if len(lines) == BULK_AT_ONCE:
                yield from self._bulk(lines)
                lines = []
        if lines:
            yield from self._bulk(lines)

    def get(self, notification_id: str) -> dict[str, Any]:
        """A notification with its deliveries and attempts."""
        answer: dict[str, Any] = self._request("GET", f"/notifications/{notification_id}", {}, None)
        return answer

    def _bulk(self, lines: list[bytes]) -> list[dict[str, Any]]:
        headers = {"Content-Type": "application/x-ndjson"}
        answer = self._request("POST", "/notifications/bulk", headers, b"\n".join(lines))
        results: list[dict[str, Any]] = answer["results"]
        return results

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Any:
        for left in range(TRIES - 1, -1, -1):
            try:
                response = self._http.request(
                    method, path, content=body, headers={"Content-Type": "application/json", **headers}
                )
            except httpx2.TransportError as error:
                if not left:
                    raise ClientError(
                        0, "unreachable", f"The portal was not reached: {type(error).__name__}."
                    ) from error
                time.sleep(_backoff(left, None))
                continue
            if response.status_code in AGAIN and left:
                time.sleep(_backoff(left, response.headers.get("Retry-After")))
                continue
            return _answer(response)
        raise AssertionError("unreachable: the last try returns or raises")


def _backoff(left: int, asked: str | None) -> float:
    """Seconds until the next try: as long as the portal asked for, with jitter on top."""
    wait = float(asked) if asked and asked.isdecimal() else 0.0
    return wait + random.uniform(0, 0.1 * 2 ** (TRIES - left))


def _answer(response: httpx2.Response) -> Any:
    try:
        content = msgspec.json.decode(response.content) if response.content else {}
    except msgspec.DecodeError:
        content = {}
    if response.is_success:
        return content
    detail = content.get("detail") or f"The portal answered {response.status_code}."
    raise ClientError(response.status_code, content.get("code", "error"), detail, content.get("errors"))
