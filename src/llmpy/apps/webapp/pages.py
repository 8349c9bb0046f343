"""The page's own files: from the package, with an ETag, and compressed once."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from llmpy.server import ApiError, Call

__all__ = ["HEADERS", "Pages"]

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {  # of all answers of the app
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
TYPES = {  # which the system may know otherwise
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
COMPRESSED = (".css", ".html", ".js", ".json", ".mjs", ".svg", ".txt", ".webmanifest")


class _File(NamedTuple):
    changed: int
    kind: str
    etag: str
    data: bytes
    packed: bytes | None


class Pages:
    """The files of a package's folder `web`, read when they are first asked for or have changed."""

    def __init__(self, package: str = "llmpy.apps.webapp") -> None:
        self._root = Path(str(files(package))) / "web"
        self._files: dict[str, _File] = {}

    async def answer(self, call: Call, path: str) -> None:
        """Send a file; ApiError 404 where there is none."""
        place = _place(self._root, path)
        file, changed = self._files.get(path), place.stat().st_mtime_ns
        if file is None or file.changed != changed:
            file = self._files[path] = _read(place, changed)
        headers = {
            "ETag": file.etag,
            "Cache-Control": "no-cache",  # that is: ask whether it is still the same
            "Vary": "Accept-Encoding",
            "Content-Security-Policy": POLICY,
            **HEADERS,
        }
        if file.etag in call.headers.get("if-none-match", ""):
            await call.answer(b"", 304, kind=file.kind, headers=headers)
            return
        data = file.data
        if file.packed is not None and "gzip" in call.headers.get("accept-encoding", ""):
            headers["Content-Encoding"], data = "gzip", file.packed
        await call.answer(data, kind=file.kind, headers=headers)


def _place(root: Path, path: str) -> Path:
    """Return the path of a file; ApiError 404 where there is none."""
    parts = path.split("/")
    hostile = any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts)
    place = root if hostile else root.joinpath(*parts)
    if not place.is_file():
        raise ApiError(404, f"there is no file {path[:200]!r} of the page", code="not_found")
    return place


def _read(place: Path, changed: int) -> _File:
    data = place.read_bytes()
    kind = TYPES.get(place.suffix) or mimetypes.guess_type(place.name)[0]
    packed = gzip.compress(data, 9, mtime=0) if place.suffix in COMPRESSED else None
    etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    return _File(changed, kind or "application/octet-stream", etag, data, packed)
