"""What a stranger's JSON is refused for, and how the field is named."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import InvalidInput
from portal.notifications.decode import decode
from portal.notifications.schemas import BulkItem, NotificationIn

ONE = msgspec.json.Decoder(NotificationIn)
ITEM = msgspec.json.Decoder(BulkItem)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{}", {"template": "this field is required"}),
        (b'{"template":"a"}', {"to": "this field is required"}),
        (b'{"template":"a","to":{},"x":1}', {"x": "this field is not known; check its spelling"}),
        (b'{"template":"a","to":{"adress":"b"}}', {"to.adress": "this field is not known; check its spelling"}),
        (b'{"template":7,"to":{}}', {"template": "expected str, got int"}),
        (b'{"template":"a","to":{"external_id":{"source":"crm"}}}', {"to.external_id.id": "this field is required"}),
        (b'{"template":"a","to":{"person_id":"b"}}', {"to.person_id": "invalid UUID"}),
        (b'{"template":"a","to":{},"ttl_seconds":0}', {"ttl_seconds": "expected int >= 1"}),
        (b"[]", {"body": "expected object, got array"}),
        (b"", None),
        (b"{", None),
        (b'{"template":"\xff"}', None),
        (b'{"template":"\\ud800"}', None),
        (b"[" * 100_000, {"body": "expected object, got array"}),
        (b'{"template":"a","to":{},"data":{"a":' + b"[" * 100_000, None),
    ],
)
def test_a_wrong_body_names_the_field_and_what_was_expected(body: bytes, fields: dict[str, str] | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode(body, ONE)
    if fields is None:
        assert (set(caught.value.fields), caught.value.code) == ({"body"}, "invalid_json")
    else:
        assert caught.value.fields == fields


@pytest.mark.parametrize(
    ("text", "refused"),
    [(rb"\u0000", True), (rb"a\u0000b", True), (rb"\\u0000", False), (rb"\\\u0000", True), (rb"\\\\u0000", False)],
)
def test_the_character_nul_is_refused_and_its_spelling_is_not(text: bytes, refused: bool) -> None:
    body = b'{"template":"a","to":{},"data":{"x":"' + text + b'"}}'
    if refused:
        with pytest.raises(InvalidInput):
            decode(body, ONE)
    else:
        assert decode(body, ONE).data["x"].endswith("u0000")


@given(st.text(max_size=8), st.booleans())
def test_every_text_that_a_database_can_keep_passes(text: str, ascii_only: bool) -> None:
    body = msgspec.json.encode({"template": "a", "to": {}, "data": {"x": text}})
    if "\0" in text:
        with pytest.raises(InvalidInput):
            decode(body, ONE)
    else:
        assert decode(body, ONE).data == {"x": text}


def test_an_item_of_a_bulk_request_is_a_notification_with_a_key() -> None:
    item = decode(b'{"template":"a","to":{},"idempotency_key":"k"}', ITEM)
    assert (item.idempotency_key, item.template) == ("k", "a")
    with pytest.raises(InvalidInput) as caught:
        decode(b'{"template":"a","to":{},"x":1}', ITEM)
    assert set(caught.value.fields) == {"x"}
