"""The channel sms."""

import pytest

from plugins.sms.channel import Sms
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
