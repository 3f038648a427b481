"""Numbers in E.164 and texts in segments.

Sources: 3GPP TS 23.038 (the GSM 7-bit alphabet and its extension), 3GPP TS 23.040 (concatenation: 153 and 67 per segment).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import phonenumbers

from portal.sdk import ChannelAdapter, Measure, Part

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = frozenset("^{}\\[~]|€\f")
GSM = GSM_BASIC | GSM_EXTENDED
MAX_SEGMENTS = 10
# So many characters fit whatever they are: 33 surrogate pairs per segment.
ALWAYS_FIT = 33 * MAX_SEGMENTS
PLAIN = re.compile(r"\+[1-9][0-9]{6,14}\Z", re.ASCII)
EXPECTED = "A phone number in international form, such as +44 20 7946 0018."


class Sms(ChannelAdapter):
    """The address is an E.164 number."""

    name = "sms"
    title = "SMS"
    parts = {"text": Part(title="Text", description="Plain text; at most 10 segments.", max_length=1530)}
    address_title = "Phone number"
    address_example = "+442079460018"
    preview = "bubble"

    def normalise(self, address: str) -> str:
        """E.164: a plus sign and up to 15 digits, possible in its country's plan."""
        return _e164(address)

    def mask(self, address: str) -> str:
        """Country code and last two digits."""
        return address[:3] + "•" * max(len(address) - 5, 0) + address[-2:] if len(address) > 5 else "•••"

    def validate(self, parts: Mapping[str, str]) -> dict[str, str]:
        """As declared, and no longer than MAX_SEGMENTS."""
        problems = super().validate(parts)
        if "text" not in problems and len(parts.get("text", "")) > ALWAYS_FIT:
            size = self.measure(parts)
            if size.amount > MAX_SEGMENTS:
                problems["text"] = f"At most {MAX_SEGMENTS} segments; this has {size.amount} ({size.detail})."
        return problems

    def measure(self, parts: Mapping[str, str]) -> Measure:
        """Segments, as the networks bill them."""
        text = parts.get("text", "")
        gsm = GSM.issuperset(text)
        if gsm:
            units = len(text) + sum(map(text.count, GSM_EXTENDED))
        else:
            units = len(text.encode("utf-16-le", "surrogatepass")) // 2
        single, joined = (160, 153) if gsm else (70, 67)
        segments = 1 if units <= single else _segments(text, joined, gsm)
        alphabet = "GSM-7" if gsm else "UCS-2"
        detail = f"{alphabet}, {units} units, {single if segments == 1 else joined} per segment"
        return Measure(unit="segment", amount=segments, limit=MAX_SEGMENTS, detail=detail)


def _segments(text: str, room: int, gsm: bool) -> int:
    # An escape sequence or a surrogate pair is never cut in two, so a segment may end one unit early.
    segments, used = 1, 0
    for mark in text:
        size = 2 if (mark in GSM_EXTENDED if gsm else mark > "\uffff") else 1
        if used + size > room:
            segments, used = segments + 1, 0
        used += size
    return segments


class _Country(NamedTuple):
    """What a national number of a calling code must look like to be taken as it is."""

    lengths: frozenset[int]
    # A prefix for calls within the country, which is to be taken off.
    prefix: re.Pattern[str] | None


@lru_cache(maxsize=512)
def _country(code: int) -> _Country:
    region = phonenumbers.region_code_for_country_code(code)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    lengths = metadata.general_desc.possible_length if metadata and metadata.general_desc else ()
    prefix = metadata.national_prefix_for_parsing if metadata else None
    return _Country(frozenset(lengths), re.compile(prefix) if prefix else None)


def _is_e164(address: str) -> bool:
    """True for most numbers that are in E.164 already: parsing them costs thirty times this. False says nothing."""
    if not PLAIN.match(address):
        return False
    for size in (1, 2, 3):
        code = int(address[1 : 1 + size])
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            country, national = _country(code), address[1 + size :]
            with_prefix = country.prefix is not None and country.prefix.match(national) is not None
            return len(national) in country.lengths and not national.startswith("0") and not with_prefix
    return False


@lru_cache(maxsize=16384)
def _e164(address: str) -> str:
    return address if _is_e164(address) else _parsed(address)


def _parsed(address: str) -> str:
    if len(address) > 40 or not address.strip().isprintable():
        raise ValueError(EXPECTED)
    try:
        number = phonenumbers.parse(address.strip())
    except phonenumbers.NumberParseException:
        raise ValueError(EXPECTED) from None
    if number.extension or not phonenumbers.is_possible_number(number):
        raise ValueError(EXPECTED)
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
