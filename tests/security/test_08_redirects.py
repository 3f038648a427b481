"""Row 8: a vendor's redirect leads nowhere, least of all to an internal address."""

from __future__ import annotations

import pytest

from portal.providers.egress import Guard
from portal.providers.http import GuardedClient
from portal.sdk import SendFailed, receipt_or_failure
from tests.http_peer import answer, http_peer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:{port}/secret", "/other", "file:///etc/passwd"],
)
async def test_a_redirect_is_not_followed(status: int, target: str) -> None:
    async with http_peer() as peer, http_peer() as inside:
        peer.answer = answer(status, location=target.format(port=inside.port))
        async with GuardedClient(Guard(["127.0.0.1"]), connections=2, deadline=3) as client:
            response = await client.post(peer.url(), content=b"{}")
            with pytest.raises(SendFailed) as refused:
                receipt_or_failure(response)
        assert refused.value.permanent
        assert (len(peer.heard), inside.connections) == (1, 0)


async def test_a_plugin_that_asks_to_follow_is_not_obeyed() -> None:
    async with http_peer() as peer:
        peer.answer = answer(302, location="/again")
        async with GuardedClient(Guard(["127.0.0.1"]), connections=2, deadline=3) as client:
            assert (await client.get(peer.url(), follow_redirects=True)).status_code == 302
        assert len(peer.heard) == 1
