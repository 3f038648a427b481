"""`If-Match` and `ETag`: who changes a thing says which revision of it they saw."""

from __future__ import annotations

from typing import Annotated

from litestar.params import HeaderParameter

from portal.errors import InvalidInput

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", description="The ETag of the answer that was read.")]


def revision_of(if_match: str | None) -> int | None:
    """The revision in an If-Match header, None for any; raises `InvalidInput` for what we never gave out."""
    plain = (if_match or "").strip().removeprefix("W/").strip('"')
    if not plain or plain == "*":
        return None
    if not plain.isdecimal() or len(plain) > 9:
        raise InvalidInput({"If-Match": "expected the ETag of an earlier answer"})
    return int(plain)


def etag(revision: int) -> dict[str, str]:
    """The header that tells the revision."""
    return {"ETag": f'"{revision}"'}
