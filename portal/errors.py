"""What can go wrong, in the user's words.

The domain raises these; only `portal.web.errors` knows which HTTP status each becomes. `code` is the stable
machine-readable name that API clients may branch on; the message is a sentence for a person.
"""

from __future__ import annotations


class PortalError(Exception):
    """Something the caller can understand and mend."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class InvalidInput(PortalError):
    """The request cannot be understood; `fields` maps each field's path to what was expected of it."""

    code = "invalid_input"

    def __init__(self, fields: dict[str, str], *, code: str | None = None) -> None:
        super().__init__("; ".join(f"{field}: {expected}" for field, expected in fields.items()), code=code)
        self.fields = fields


class NotFound(PortalError):
    """No such thing, or not for this caller: the two are not told apart."""

    code = "not_found"

    def __init__(self, what: str, key: object) -> None:
        super().__init__(f"There is no {what} {key}.")
        self.what = what


class NotSignedIn(PortalError):
    """Nobody presented valid credentials."""

    code = "not_signed_in"


class NotAllowed(PortalError):
    """The caller is known and may not do this."""

    code = "not_allowed"


class Conflict(PortalError):
    """The thing is not in a state that allows this, or somebody else changed it first."""

    code = "conflict"


class PreconditionFailed(PortalError):
    """`If-Match` named another version than the stored one."""

    code = "precondition_failed"


class TooLarge(PortalError):
    """The request exceeds a limit in bytes or items; `limit` is that limit."""

    code = "too_large"

    def __init__(self, message: str, *, limit: int) -> None:
        super().__init__(message)
        self.limit = limit


class TooMany(PortalError):
    """A rate or a waiting room is full; come back after `retry_after` seconds."""

    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after: float, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class Unavailable(PortalError):
    """A part we cannot do without does not answer now; come back after `retry_after` seconds."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SettingsError(PortalError):
    """A setting is wrong; the start stops with its name and what was expected."""

    code = "settings"
