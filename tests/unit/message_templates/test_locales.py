"""Which locale's parts a recipient gets."""

from __future__ import annotations

import pytest

from portal.message_templates.render import choose_locale


@pytest.mark.parametrize(
    ("have", "asked", "default", "expected"),
    [
        ("en zh-Hans zh", "zh-Hans-CN", "en", "zh-Hans"),
        ("en zh", "zh-Hans-CN", "en", "zh"),
        ("en zh-Hant", "zh-Hans-CN", "en", "zh-Hant"),
        ("en de", "fr", "de", "de"),
        ("en de-AT", None, "de", "de-AT"),
        ("pt ro", "fr", "en", "pt"),
        ("EN_gb de", "en-GB", "de", "EN_gb"),
        ("de en", "", "en", "en"),
    ],
)
def test_the_nearest_locale_is_chosen(have: str, asked: str | None, default: str, expected: str) -> None:
    assert choose_locale(dict.fromkeys(have.split()), asked, default) == expected
