"""Static files under addresses that change with their content, so that browsers may keep them for ever.

`asset("css/base.css")` is `/static/css/base.css?v=<hash>`. The hash is in the query, not in the path, so that a style
sheet can name its neighbours without knowing their hashes.
"""

from __future__ import annotations

import hashlib
import mimetypes
from email.utils import formatdate, parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

PREFIX = "/static/"
LONG = b"public, max-age=31536000, immutable"
# Modules import each other by plain names: asked for again each time, answered with 304.
SHORT = b"public, no-cache"
SECURITY = (b"x-content-type-options", b"nosniff")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


def project_folder(name: str) -> Path:
    """`templates` or `static`: beside the package in a clone, inside it when installed from a wheel."""
    package = Path(__file__).resolve().parent.parent
    inside = package / f"_{name}"
    return inside if inside.is_dir() else package.parent / name


class Assets:
    """The static files of the portal and of its plugins (`plugins/<name>/…`), read once into memory."""

    def __init__(self, folder: Path, plugins: dict[str, Path] | None = None) -> None:
        self._folders = {"": folder, **{f"plugins/{name}/": path for name, path in (plugins or {}).items()}}
        self._load = cache(self._read)

    def url(self, path: str) -> str:
        """The address of a file, with the hash of its content; raises `FileNotFoundError` for one that is not there."""
        found = self._load(path)
        if found is None:
            raise FileNotFoundError(f"static/{path}")
        return f"{PREFIX}{path}?v={found.version}"

    def find(self, path: str) -> Asset | None:
        """The file below the folder, or None; never one outside it."""
        return self._load(path) if len(path) < 200 else None

    def _read(self, path: str) -> Asset | None:
        prefix = next((name for name in self._folders if name and path.startswith(name)), "")
        root = self._folders[prefix].resolve()
        file = (root / path.removeprefix(prefix)).resolve()
        if not file.is_file() or not file.is_relative_to(root):
            return None
        return Asset(file)


class Asset:
    """One file: its bytes, type, version and time."""

    def __init__(self, file: Path) -> None:
        self.body = file.read_bytes()
        self.version = hashlib.sha256(self.body).hexdigest()[:12]
        guessed = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self.content_type = guessed.encode()
        self.modified = int(file.stat().st_mtime)


class AssetsMiddleware:
    """ASGI middleware: answers GET and HEAD below /static/, passes everything else on."""

    def __init__(self, app: ASGIApp, assets: Assets) -> None:
        self._app = app
        self._assets = assets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        asset = self._assets.find(scope["path"].removeprefix(PREFIX)) if scope["method"] in ("GET", "HEAD") else None
        if asset is None:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        fixed = scope["query_string"] == b"v=" + asset.version.encode() or b"/vendor/" in scope["path"].encode()
        head = [
            (b"content-type", asset.content_type),
            (b"cache-control", LONG if fixed else SHORT),
            (b"etag", f'"{asset.version}"'.encode()),
            (b"last-modified", formatdate(asset.modified, usegmt=True).encode()),
            SECURITY,
        ]
        same = headers.get(b"if-none-match") == f'"{asset.version}"'.encode() or (
            b"if-none-match" not in headers and _not_newer(asset, headers.get(b"if-modified-since"))
        )
        await _reply(send, 304 if same else 200, head, b"" if same or scope["method"] == "HEAD" else asset.body, asset)


async def _reply(send: Any, status: int, head: list[tuple[bytes, bytes]], body: bytes, asset: Asset) -> None:
    if status == 200:
        head = [*head, (b"content-length", b"%d" % len(asset.body))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def _not_newer(asset: Asset, since: bytes | None) -> bool:
    if since is None:
        return False
    try:
        return asset.modified <= parsedate_to_datetime(since.decode("latin-1")).timestamp()
    except (TypeError, ValueError):
        return False
