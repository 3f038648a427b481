"""Reading JSON from a stranger: the struct, or an error that names the field and what was expected."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from portal.errors import InvalidInput

T = TypeVar("T")

_PATH = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_NAMED = re.compile(r"(?:unknown field|required field) `(?P<name>[^`]*)`")
_NUL = b"\\u0000"


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The decoded body; raises `InvalidInput`.

    A NUL cannot be stored by every database and a lone surrogate by none, so both are refused here, before anything
    else sees them (the decoder itself refuses surrogates).
    """
    if _NUL in body and b"\x00" in re.sub(rb"\\\\", b"", body).replace(_NUL, b"\x00"):
        raise InvalidInput({"body": "text without the character NUL (\\u0000)"})
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput({"body": f"expected valid JSON in UTF-8: {error}"}, code="invalid_json") from None
    except RecursionError:
        raise InvalidInput({"body": "expected JSON that is not nested this deeply"}, code="invalid_json") from None


def explain(error: msgspec.ValidationError) -> InvalidInput:
    """The same complaint with the field's path in front: `to.address`, `data.items[...].price`."""
    match = _PATH.match(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    field = path.removeprefix("$").removeprefix(".")
    if named := _NAMED.search(what):
        field = f"{field}.{named['name']}".lstrip(".")
        unknown = "unknown" in what
        what = "this field is not known; check its spelling" if unknown else "this field is required"
    return InvalidInput({field or "body": what[:1].lower() + what[1:].replace("`", "")})
