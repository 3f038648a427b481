"""Uploaded files: taken in, scanned, named by requests, sent, forgotten."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy import delete, select, update

from plugins.eicar import SIGNATURE
from portal.delivery import send
from portal.ledger.models import Chunk
from portal.notifications import attachments
from portal.notifications.attachments import MOST_BYTES, forget_attachments, load_attachments
from portal.notifications.models import AttachmentFile
from portal.providers import send_many
from portal.settings import Settings
from tests.portal_peer import Client, PortalPeer, one


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small files only, and a scanner."""
    plugins = [*settings.plugins, "eicar"]
    return msgspec.structs.replace(settings, max_attachment_bytes=100_000, plugins=plugins)


async def upload(client: Client, content: bytes = b"%PDF-1.7", name: str = "invoice.pdf") -> Any:
    """The facts of a file that was just uploaded."""
    answer = await client.raw("POST", f"/attachments?name={name}", content, content_type="application/pdf")
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_file_is_uploaded_as_a_body_or_in_a_form(portal: PortalPeer, shop: Client) -> None:
    as_body = await upload(shop)
    files = {"file": ("C:\\Users\\ada\\invoice.pdf", b"%PDF-1.7", "application/pdf")}
    in_form = (await shop.http.post("/api/v1/attachments", files=files)).json()
    for facts in (as_body, in_form):
        assert (facts["name"], facts["content_type"], facts["size"]) == ("invoice.pdf", "application/pdf", 8)
        assert facts["sha256"] == hashlib.sha256(b"%PDF-1.7").hexdigest()
        assert await shop.ask("GET", f"/attachments/{facts['id']}", status=200) == facts
    async with portal.db.read() as conn:
        loaded = await load_attachments(conn, {as_body["id"], str(uuid4())})
    assert [(file.name, file.content) for file in loaded.values()] == [("invoice.pdf", b"%PDF-1.7")]


@pytest.mark.parametrize(
    ("query", "headers", "content", "field"),
    [
        ("", {}, b"x", "name"),
        ("name=a%0Ab.pdf", {}, b"x", "name"),
        ("name=..", {}, b"x", "name"),
        ("name=a%22b", {}, b"x", "name"),
        ("name=a", {"content_type": "text"}, b"x", "content_type"),
        ("name=a", {"content_type": "text/plain\tx"}, b"x", "content_type"),
        ("name=a", {}, b"", "file"),
        ("name=a", {}, b"--" + SIGNATURE, "file"),
    ],
)
async def test_a_file_that_cannot_be_taken_is_refused_with_the_reason(
    portal: PortalPeer, shop: Client, query: str, headers: dict[str, str], content: bytes, field: str
) -> None:
    answer = await shop.raw("POST", f"/attachments?{query}", content, **{"content_type": "text/plain", **headers})
    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}
    async with portal.db.read() as conn:
        assert (await conn.execute(select(AttachmentFile.id))).first() is None


async def test_a_file_has_a_largest_size(shop: Client) -> None:
    answer = await shop.raw("POST", "/attachments?name=a", b"x" * 100_001, content_type="text/plain")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.databases("sqlite")
async def test_a_scanner_that_fails_or_hangs_lets_nothing_in(
    portal: PortalPeer, shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no signatures")

    scanners = portal.parts.registry.scanners
    monkeypatch.setattr(attachments, "SCAN_SECONDS", 0.05)
    for scan in (fail, lambda *_: time.sleep(0.5)):
        scanners["eicar"] = scan
        answer = await shop.raw("POST", "/attachments?name=a", b"x", content_type="text/plain")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_a_request_names_only_files_that_its_application_has(portal: PortalPeer, shop: Client) -> None:
    mine = await upload(shop)
    theirs = await upload(await portal.key("stranger"))
    nobodys = str(uuid4())
    problems = await shop.problems("POST", "/notifications", one(attachments=[mine["id"], theirs["id"], nobodys]))
    assert set(problems) == {"attachments[1]", "attachments[2]"}
    await shop.ask("GET", f"/attachments/{theirs['id']}", status=404)
    answer = await shop.ask(
        "POST", "/notifications/bulk", [one(attachments=[nobodys]), one(attachments=[mine["id"]])], status=202
    )
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert answer["results"][0]["error"]["errors"][0]["field"] == "attachments[0]"


async def test_a_file_must_live_as_long_as_it_is_needed(portal: PortalPeer, shop: Client) -> None:
    file = await upload(shop)
    later = (datetime.now(UTC) + timedelta(days=60)).isoformat()
    problems = await shop.problems("POST", "/notifications", one(attachments=[file["id"]], send_at=later))
    assert "upload it again" in problems["attachments[0]"]


async def test_all_files_together_have_a_largest_size(portal: PortalPeer, shop: Client) -> None:
    file = await upload(shop)
    async with portal.db.write() as conn:
        await conn.execute(update(AttachmentFile).values(size=MOST_BYTES // 2 + 1))
    problems = await shop.problems("POST", "/notifications", one(attachments=[file["id"], file["id"]]))
    assert "attachments" in problems
    async with portal.db.read() as conn:
        assert (await conn.execute(select(Chunk.id))).first() is None


async def test_the_provider_gets_the_files_and_they_are_loaded_for_the_call_alone(
    portal: PortalPeer, shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    async def noted(account: Any, messages: Any, *more: Any) -> Any:
        seen.extend(messages)
        return await send_many(account, messages, *more)

    monkeypatch.setattr(send, "send_many", noted)
    first, second = await upload(shop, b"1", "1.pdf"), await upload(shop, b"2", "2.pdf")
    plain = await shop.send()
    with_files = await shop.send(attachments=[second["id"], first["id"], second["id"]])
    await portal.deliver()
    assert sorted([file.content for file in message.attachments] for message in seen) == [[], [b"2", b"1", b"2"]]
    assert [(await shop.get(id_))["status"] for id_ in (plain, with_files)] == ["sent", "sent"]


async def test_without_its_file_a_message_is_not_sent(portal: PortalPeer, shop: Client) -> None:
    file = await upload(shop)
    id_ = await shop.send(attachments=[file["id"]])
    async with portal.db.write() as conn:
        await conn.execute(delete(AttachmentFile))
    await portal.deliver()
    found = await shop.get(id_)
    (delivery,) = found["deliveries"]
    assert (found["status"], delivery["attempts"][-1]["code"]) == ("failed", "file_gone")
    assert (await shop.ask("GET", "/sandbox/messages", status=200))["items"] == []


async def test_a_file_goes_with_the_notification_and_is_forgotten_in_time(portal: PortalPeer, shop: Client) -> None:
    file = await upload(shop)
    id_ = UUID((await shop.ask("POST", "/notifications", one(attachments=[file["id"]]), status=202))["id"])
    await portal.deliver()
    found = await shop.get(id_)
    assert (found["status"], found["content"]["attachments"]) == ("sent", [file["id"]])
    assert await portal.db.transact(forget_attachments) == 0
    async with portal.db.write() as conn:
        await conn.execute(update(AttachmentFile).values(expires_at=datetime.now(UTC) - timedelta(days=2)))
    await shop.ask("GET", f"/attachments/{file['id']}", status=404)
    assert await portal.db.transact(forget_attachments) == 1
