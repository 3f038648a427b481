"""The fast door: a small ASGI application in front of the framework for the one path that must be fast.

It serves every POST on that exact path by `Intake.answer` and passes everything else on. It exists because a framework
handler costs several times what a raw one does; `benchmarks/accept.py` measures whether that is still true.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from portal.notifications.body import Receive, read_body
from portal.notifications.intake import Answer, Intake

PATH = "/api/v1/notifications"

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class FastDoor:
    """ASGI application: POST on the path goes to the intake, everything else to `app`."""

    def __init__(self, app: App, intake: Callable[[], Intake]) -> None:
        self._app = app
        # Asked for at each request: the intake exists only after the application's start.
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await read_body(receive)
        if body is None:
            return
        answer = await self._intake().answer(dict(scope["headers"]), body)
        await _reply(send, answer)


async def _reply(send: Send, answer: Answer) -> None:
    head = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": head})
    await send({"type": "http.response.body", "body": answer.body})
