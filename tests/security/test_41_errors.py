"""Security row 41: an error of ours tells the caller a number and nothing else; the log has the rest."""

from __future__ import annotations

import logging

import pytest

from tests.web_peer import SECRET_SENTENCE, WebPeer

pytestmark = pytest.mark.databases("sqlite")
TELLTALES = ("Traceback", "File ", ".py", "RuntimeError", "SELECT", "/srv/", "site-packages", "litestar")


@pytest.mark.parametrize("path", ["/broken", "/api/v1/broken"])
@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
@pytest.mark.parametrize("fragment", [False, True])
async def test_a_fault_shows_only_a_request_number(
    web: WebPeer, path: str, accept: str, fragment: bool, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await web.signed_in(await web.user("ada@example.com", "admin"))
    headers = {"accept": accept, **({"hx_request": "true", "hx_request_type": "partial"} if fragment else {})}
    with caplog.at_level(logging.ERROR, "portal.web.errors"):
        answer = await browser.get(path, **headers)
    assert answer.status_code == 500
    assert not [word for word in TELLTALES if word in answer.text]
    number = answer.headers["x-request-id"]
    assert number in answer.text
    assert number in caplog.text
    assert SECRET_SENTENCE in caplog.text


async def test_the_frameworks_own_errors_are_told_in_our_words(web: WebPeer) -> None:
    browser = await web.signed_in(await web.user("ada@example.com", "admin"))
    for path, status in (("/nowhere", 404), ("/users/not-a-uuid", 404), ("/api/v1/nothing", 404)):
        answer = await browser.get(path)
        assert answer.status_code == status
        assert not [word for word in TELLTALES if word in answer.text]
    answer = await browser.http.put("/keys")
    assert answer.status_code == 405
    assert "Method Not Allowed" in answer.text


async def test_an_error_of_the_api_is_a_problem_document(web: WebPeer) -> None:
    answer = await web.browser().get("/api/v1/conflict")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert {k: v for k, v in answer.json().items() if k != "request_id"} == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "Somebody was faster.",
        "code": "too_late",
    }
    busy = await web.browser().get("/api/v1/busy")
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "2")
    nobody = await web.browser().get("/api/v1/whoami")
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_form_that_cannot_be_parsed_is_the_callers_fault(web: WebPeer) -> None:
    browser = web.browser()
    await browser.token()
    answer = await browser.http.post("/sign-in", content=b"\xff\xfe", headers={"content-type": "multipart/form-data"})
    assert 400 <= answer.status_code < 500
    assert "Traceback" not in answer.text
