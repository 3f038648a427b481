"""The fake vendor: a process that writes each request into a ledger before it answers as it was told.

Run as `python vendor.py LEDGER`; it prints its port. The ledger has one JSON line per request: key (the `webhook-id`),
n (the client's own number, from the body), at (seconds since 1970), bytes, path, and again (true when an idempotent
vendor had taken this key before). `POST /_script` sets how a path answers: delay (seconds before the answer), status,
headers, reset (drop the connection instead of answering), hang (never answer), idempotent, times (for that many
requests, then back to 200).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from typing import Any

PLAIN: dict[str, Any] = {"delay": 0.0, "status": 200, "headers": {}, "reset": False, "hang": False, "idempotent": False}


class Vendor:
    """One ledger, and a script per path; `*` is for the others."""

    def __init__(self, ledger: str) -> None:
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._scripts: dict[str, dict[str, Any]] = {"*": dict(PLAIN)}
        self._taken: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                path = head[0].split(" ")[1]
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                if path == "/_script":
                    given = json.loads(body)
                    self._scripts[given.pop("path", "*")] = PLAIN | given
                    writer.write(_answer(200))
                elif not await self._take(path, headers, body, writer):
                    break
                await writer.drain()
        writer.close()

    async def _take(self, path: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        script = self._script(path)
        key = headers.get("webhook-id", "")
        again = bool(script["idempotent"]) and key in self._taken
        if script["status"] < 300:
            self._taken.add(key)
        line = {"key": key, "n": json.loads(body).get("n"), "at": time.time(), "bytes": len(body), "path": path}
        os.write(self._ledger, json.dumps(line | {"again": again, "status": script["status"]}).encode() + b"\n")
        if script["delay"]:
            await asyncio.sleep(script["delay"])
        if script["hang"]:
            await asyncio.Event().wait()
        if script["reset"]:
            writer.transport.abort()
            return False
        writer.write(_answer(script["status"], script["headers"]))
        return True

    def _script(self, path: str) -> dict[str, Any]:
        name = path if path in self._scripts else "*"
        script = self._scripts[name]
        if "times" in script:
            script = dict(script)
            self._scripts[name]["times"] -= 1
            if self._scripts[name]["times"] <= 0:
                self._scripts[name] = dict(PLAIN)
        return script


def _answer(status: int, headers: dict[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", "Content-Length: 2", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    return ("\r\n".join(lines) + "\r\n\r\n{}").encode()


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(Vendor(sys.argv[1]).serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
