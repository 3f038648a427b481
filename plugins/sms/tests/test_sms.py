"""The channel sms."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.sms.channel import Sms, _is_e164, _parsed
from portal.sdk.testing import ChannelContract


class TestSmsChannel(ChannelContract):
    channel = Sms
    good = {
        "+44 20 7946 0018": "+442079460018",
        "+1 (650) 253-0000": "+16502530000",
        "+86 138 1234 5678": "+8613812345678",
        "+442079460018": "+442079460018",
    }
    bad = ["020 7946 0018", "+44", "+1234", "hello", "+44 20 7946 0018 ext. 5", "+999999999999999999", "00442079460018"]
    parts = {"text": "Your code is 123456"}


@pytest.mark.parametrize(
    ("text", "segments", "alphabet"),
    [
        ("a", 1, "GSM-7"),
        ("a" * 160, 1, "GSM-7"),
        ("a" * 161, 2, "GSM-7"),
        ("a" * 306, 2, "GSM-7"),
        ("a" * 307, 3, "GSM-7"),
        ("€" * 80, 1, "GSM-7"),
        ("€" * 81, 2, "GSM-7"),
        # 153 is odd, so an extended character never fits its last place: 76 of them per segment.
        ("€" * 153, 3, "GSM-7"),
        ("你" * 70, 1, "UCS-2"),
        ("你" * 71, 2, "UCS-2"),
        ("💥" * 35, 1, "UCS-2"),
        ("💥" * 36, 2, "UCS-2"),
        ("💥" * 67, 3, "UCS-2"),
        ("`" * 70, 1, "UCS-2"),
    ],
)
def test_segments_are_counted_as_networks_bill_them(text: str, segments: int, alphabet: str) -> None:
    size = Sms().measure({"text": text})
    assert size.amount == segments
    assert size.detail.startswith(alphabet)


def test_a_text_of_too_many_segments_is_refused_although_it_is_short_enough() -> None:
    assert "segments" in Sms().validate({"text": "你" * 700})["text"]
    assert Sms().validate({"text": "你" * 670}) == {}


CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@given(st.sampled_from(CODES), st.text("0123456789", min_size=3, max_size=13))
def test_a_number_that_is_taken_as_it_is_would_be_parsed_to_itself(code: int, national: str) -> None:
    number = f"+{code}{national}"
    if _is_e164(number):
        assert _parsed(number) == number


@pytest.mark.parametrize("number", ["+442079460018", "+16502530000", "+8613812345678", "+393331234567"])
def test_common_numbers_need_no_parsing(number: str) -> None:
    assert _is_e164(number)


@pytest.mark.parametrize(
    "number", ["+4402079460018", "+390612345678", "+44", "442079460018", "+44 20 7946 0018", "+4420794600²"]
)
def test_what_may_need_a_change_is_parsed(number: str) -> None:
    assert not _is_e164(number)
