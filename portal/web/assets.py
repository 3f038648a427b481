"""Static files under addresses that change with their content, so that browsers may keep them for ever.

`asset("css/base.css")` is `/static/css/base.css?v=<hash>`. The hash is in the query, not in the path, so that a style
sheet can name its neighbours without knowing their hashes.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

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
        # Only files that are there are kept: an attacker may invent names for ever.
        self._kept: dict[str, Asset] = {}

    def url(self, path: str) -> str:
        """The address of a file, with the hash of its content; raises `FileNotFoundError` for one that is not there."""
        found = self.find(path)
        if found is None:
            raise FileNotFoundError(f"static/{path}")
        return f"{PREFIX}{path}?v={found.version}"

    def find(self, path: str) -> Asset | None:
        """The file below the folder, or None; never one outside it."""
        kept = self._kept.get(path)
        if kept is None and len(path) < 200 and path.isprintable():
            kept = self._read(path)
            if kept is not None:
                self._kept[path] = kept
        return kept

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
        small = len(self.body) < 1024 or file.suffix in (".woff2", ".png", ".jpg", ".gz")
        # With a fixed time, so that the same file has the same bytes in every process.
        self.gzipped = b"" if small else gzip.compress(self.body, 6, mtime=0)
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
            (b"vary", b"Accept-Encoding"),
            SECURITY,
        ]
        same = headers.get(b"if-none-match") == f'"{asset.version}"'.encode() or (
            b"if-none-match" not in headers and _not_newer(asset, headers.get(b"if-modified-since"))
        )
        body = asset.body
        if asset.gzipped and b"gzip" in headers.get(b"accept-encoding", b""):
            body = asset.gzipped
            head.append((b"content-encoding", b"gzip"))
        if not same:
            head.append((b"content-length", b"%d" % len(body)))
        silent = same or scope["method"] == "HEAD"
        await send({"type": "http.response.start", "status": 304 if same else 200, "headers": head})
        await send({"type": "http.response.body", "body": b"" if silent else body, "more_body": False})


def _not_newer(asset: Asset, since: bytes | None) -> bool:
    if since is None:
        return False
    try:
        return asset.modified <= parsedate_to_datetime(since.decode("latin-1")).timestamp()
    except (TypeError, ValueError):
        return False
