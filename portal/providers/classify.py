"""What an error that escaped a provider means for the message: was nothing sent, or may the vendor have it?"""

from __future__ import annotations

import math
import socket
import ssl

import httpx2

from portal.providers.egress import ConnectFailed, EgressRefused
from portal.sdk import MAX_RETRY_AFTER, SendFailed

LONGEST_REASON = 500
# Raised before the first byte of a message could leave.
NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    ConnectFailed,
    ConnectionRefusedError,
    socket.gaierror,
)
UNSENDABLE = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.InvalidURL)


def classify(error: BaseException) -> SendFailed:
    """The failure that this error is. Doubt is on the safe side: what is not known to be unsent is ambiguous."""
    if isinstance(error, SendFailed):
        return tidy(error)
    if isinstance(error, EgressRefused):
        return SendFailed(str(error)[:LONGEST_REASON], permanent=True, code="egress")
    if isinstance(error, UNSENDABLE):
        return SendFailed(f"The request cannot be made: {type(error).__name__}.", permanent=True, code="request")
    certificate = _certificate_error(error)
    if certificate is not None:
        reason = f"The vendor's certificate is not trusted: {certificate.verify_message}."
        return SendFailed(reason, code="tls")
    if isinstance(error, NOT_SENT):
        return SendFailed(f"The vendor was not reached: {_words(error)}", code="connect")
    if isinstance(error, (httpx2.TransportError, OSError, TimeoutError)):
        return SendFailed(f"The vendor's answer was lost: {_words(error)}", ambiguous=True, code="lost")
    # A bug of the plugin. Whether it happened before or after the vendor took the message, nobody can tell.
    return SendFailed(f"The plugin failed: {type(error).__name__}.", ambiguous=True, code="plugin")


def tidy(failure: SendFailed) -> SendFailed:
    """The same failure with everything of the type and size that is stored."""
    wait = failure.retry_after
    usable = isinstance(wait, (int, float)) and not isinstance(wait, bool) and math.isfinite(wait)
    return SendFailed(
        str(failure.reason)[:LONGEST_REASON],
        permanent=bool(failure.permanent),
        suppress=bool(failure.suppress),
        retry_after=min(max(float(wait), 0.0), MAX_RETRY_AFTER) if usable and wait is not None else None,
        ambiguous=bool(failure.ambiguous),
        code=None if failure.code is None else str(failure.code)[:60],
    )


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _words(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else f"{type(error).__name__}."
