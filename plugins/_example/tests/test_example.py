"""The provider _example."""

from pathlib import Path

import httpx2
import pytest

from plugins._example.provider import Example
from portal.sdk import Receipt, SendFailed
from portal.sdk.testing import ContextForTests, HttpProviderContract, sample_message

ACCEPTED = (Path(__file__).parent / "fixtures" / "accepted.json").read_bytes()
MESSAGE = sample_message(channel="sms", address="+442079460018", parts={"text": "Your code is 123456"})


class TestExample(HttpProviderContract):
    provider = Example
    settings = {"token": "token-for-tests"}
    message = MESSAGE
    accepted = httpx2.Response(200, content=ACCEPTED)
    wrong_settings = [{"token": "short"}, {"server": "http://api.example.com"}, {"sender": "far too long a name"}]


async def test_the_request_is_what_the_vendor_documents() -> None:
    outcome, context = await TestExample().outcome(TestExample.accepted)
    request = context.requests[0]
    assert outcome == Receipt("msg_01HZX5")
    assert (request.method, str(request.url)) == ("POST", "https://api.example.com/v1/send")
    assert request.headers["idempotency-key"] == MESSAGE.id


async def test_the_check_names_a_wrong_token() -> None:
    with pytest.raises(SendFailed, match="access token"):
        await TestExample().make().check(ContextForTests(lambda _: httpx2.Response(401)))
