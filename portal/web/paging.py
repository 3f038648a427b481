"""Keyset paging: a page begins after the last row of the one before, so that page 10,000 costs what page 1 does."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from portal.errors import InvalidInput

Row = TypeVar("Row")
PAGE_SIZE = 50
MAX_PAGE_SIZE = 500


class Cursor(Struct, frozen=True, array_like=True):
    """The place after one row: its time in microseconds since 1970 and its id. Lists run from newest to oldest."""

    microseconds: int
    id: UUID

    @property
    def at(self) -> datetime:
        """The time of the row."""
        return datetime.fromtimestamp(self.microseconds // 1_000_000, UTC).replace(
            microsecond=self.microseconds % 1_000_000
        )


class Page(Struct, Generic[Row], frozen=True):
    """The rows of one page and the cursor of the next, empty on the last."""

    rows: Sequence[Row]
    next: str


def encode_cursor(at: datetime, row_id: UUID) -> str:
    """An opaque text for the place after this row."""
    microseconds = int(at.timestamp()) * 1_000_000 + at.microsecond
    packed = msgspec.msgpack.encode(Cursor(microseconds, row_id))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_cursor(text: str | None) -> Cursor | None:
    """The place, or None for no text; raises `InvalidInput` for what we did not make."""
    if not text:
        return None
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        cursor = msgspec.msgpack.decode(packed, type=Cursor)
        _ = cursor.at
    except (binascii.Error, msgspec.DecodeError, ValueError, OverflowError, OSError):
        raise InvalidInput({"cursor": "expected the cursor of an earlier answer"}) from None
    return cursor


def page_of(rows: Sequence[Row], limit: int, *, at: str = "created_at") -> Page[Row]:
    """A page of rows that were read with `limit + 1`; `at` names the attribute that orders them."""
    if len(rows) <= limit:
        return Page(rows, "")
    last: Any = rows[limit - 1]
    return Page(rows[:limit], encode_cursor(getattr(last, at), last.id))
