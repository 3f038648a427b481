"""The one failure a provider raises, and the usual reading of an HTTP answer."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from portal.sdk.message import Receipt

MAX_RETRY_AFTER = 3600.0
"""Seconds. A vendor that asks for a longer pause is asked again after an hour."""

TRANSIENT_4XX = frozenset({408, 425, 429})
GONE = 410


class SendFailed(Exception):
    """The message was not (or may not have been) accepted by the vendor.

    `reason` is one sentence for the person who reads the attempt; no secrets, no content.
    `permanent`   trying the same again cannot succeed; the core tries the route's next account, if there is one.
    `suppress`    this address must not be used again (hard bounce, 410, dead token); implies `permanent`.
    `retry_after` seconds the vendor asked to wait, from now; the core never tries earlier.
    `ambiguous`   the vendor may have accepted it; the core decides by the category's policy.
    `code`        the vendor's own code, as text.
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        suppress: bool = False,
        retry_after: float | None = None,
        ambiguous: bool = False,
        code: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent or suppress
        self.suppress = suppress
        self.retry_after = retry_after
        self.ambiguous = ambiguous
        self.code = code

    def __repr__(self) -> str:
        marks = [name for name in ("permanent", "suppress", "ambiguous") if getattr(self, name)]
        if self.retry_after is not None:
            marks.append(f"retry_after={self.retry_after:g}")
        return f"SendFailed({', '.join([repr(self.reason), *marks])})"


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds to wait, 0 to MAX_RETRY_AFTER, from a `Retry-After` value in either form; None when unusable.

    A past date or a negative number is 0; a huge one is MAX_RETRY_AFTER; garbage is None, so that the core's own
    backoff applies.
    """
    text = (value or "").strip()
    if not text:
        return None
    seconds = _seconds(text)
    if seconds is None:
        seconds = _seconds_until(text, now or datetime.now(UTC))
    if seconds is None:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds(text: str) -> float | None:
    # float() would also take "nan", "inf" and "1_0"; the grammar has digits only, vendors add a fraction or a sign.
    digits = text.removeprefix("-").removeprefix("+")
    if len(text) > 32 or not digits.replace(".", "", 1).isdecimal() or not digits.isascii():
        return None
    return float(text)


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        when = parsedate_to_datetime(text[:64])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - now).total_seconds()


def receipt_or_failure(response: httpx2.Response, *, id: str | None = None) -> Receipt:  # noqa: A002 - reads well at the call
    """The receipt in a 2xx answer; anything else is raised as `SendFailed` with its class.

    `id` names where the vendor's own id is: a key of the JSON answer, dotted for nested objects and with numbers for
    lists (`"messages.0.id"`). A 2xx answer whose body cannot be read is still an acceptance: the receipt says
    that it is unconfirmed, and nothing is sent twice.

    408, 425, 429 and 5xx are transient and honour `Retry-After`; 410 suppresses the address; every other answer
    (redirects too, which are never followed) is permanent.
    """
    status = response.status_code
    if response.is_success:
        return _receipt(response, id)
    code = str(status)
    if status in TRANSIENT_4XX or status >= 500:
        wait = parse_retry_after(response.headers.get("Retry-After"))
        raise SendFailed(f"The vendor answered {_spoken(response)}.", retry_after=wait, code=code)
    if status == GONE:
        raise SendFailed("The vendor says that this address is gone (410).", suppress=True, code=code)
    raise SendFailed(f"The vendor refused with {_spoken(response)}.", permanent=True, code=code)


def _spoken(response: httpx2.Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".rstrip()


def _receipt(response: httpx2.Response, path: str | None) -> Receipt:
    if path is None:
        return Receipt()
    try:
        found = _dig(response.json(), path)
    except ValueError:
        found = None
    if isinstance(found, bool) or not isinstance(found, (str, int)) or found == "":
        return Receipt(detail="Accepted, but the answer had no message id: unconfirmed.")
    return Receipt(vendor_id=str(found))


def _dig(value: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
