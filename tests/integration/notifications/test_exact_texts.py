"""Texts that differ only in case, accents or blanks at their end are different, also where a database's habit is another."""

from __future__ import annotations

from urllib.parse import quote

from tests.portal_peer import Client, PortalPeer, one

TWINS = ("order", "ORDER", "Örder", "order ")


async def test_names_of_metadata_are_told_apart(portal: PortalPeer, shop: Client) -> None:
    id_ = await shop.send(metadata={name: str(n) for n, name in enumerate(TWINS)})
    await shop.ask("GET", "/notifications", status=200)
    await portal.deliver()
    found = await shop.get(id_)
    assert (found["status"], set(found["metadata"])) == ("sent", set(TWINS))


async def test_filters_find_exactly_what_they_name(portal: PortalPeer, shop: Client) -> None:
    sent = {text: str(await shop.send(reference=text, metadata={"m": text})) for text in TWINS}
    for text in TWINS:
        for query in (f"reference={quote(text)}", f"metadata.m={quote(text)}"):
            found = await shop.ask("GET", f"/notifications?{query}", status=200)
            assert [item["id"] for item in found["items"]] == [sent[text]], query


async def test_keys_of_idempotency_are_told_apart(shop: Client) -> None:
    keys = ("Key-a", "key-a", "key-ä", "KEY-A")
    items = [one(idempotency_key=key) for key in keys]
    answer = await shop.ask("POST", "/notifications/bulk", items, status=202)
    assert len({item["id"] for item in answer["results"]}) == 4
    again = await shop.ask("POST", "/notifications/bulk", items, status=202)
    assert [item["id"] for item in again["results"]] == [item["id"] for item in answer["results"]]
