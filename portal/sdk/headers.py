"""Header fields that cannot smuggle anything: the same rule for mail and for HTTP."""

import re
from email.errors import HeaderParseError
from email.header import decode_header

FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,76}")
# Everything that some reader takes for the end of a line, and the other control characters except the tab.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
ENCODED_WORD = "=?"


def header_problem(name: str, value: str) -> str | None:
    """Why this field must not be sent, as a sentence without the value; None when it is safe.

    Refused are control characters (line ends and NUL above all), also inside encoded words: mail programs, and
    Python's own message classes, decode `=?utf-8?q?=0A?=` and would write the line end out.
    """
    if not FIELD_NAME.fullmatch(name):
        return "A header field's name has characters that are not allowed."
    if CONTROL.search(value):
        return f"The header field {name} has a line break or another control character."
    if ENCODED_WORD in value and CONTROL.search(_decoded(value)):
        return f"The header field {name} hides a line break or another control character in an encoded word."
    return None


def _decoded(value: str) -> str:
    try:
        pieces = decode_header(value)
    except (HeaderParseError, ValueError):
        return "\0"  # cannot be read: not safe
    # Bytes are read as Latin-1 whatever their charset says: a control byte stays one, and no charset can hide it.
    plain = "".join(piece if isinstance(piece, str) else piece.decode("latin-1") for piece, _ in pieces)
    return plain + "".join(_by_charset(piece, charset) for piece, charset in pieces)


def _by_charset(piece: str | bytes, charset: str | None) -> str:
    if isinstance(piece, str) or charset is None:
        return ""
    try:
        return piece.decode(charset, "replace")
    except LookupError:
        return "\0"
