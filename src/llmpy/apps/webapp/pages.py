"""The page's own files: from the package, with an ETag, and compressed once."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from importlib.resources import files
from importlib.resources.abc import Traversable
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
    kind: str
    etag: str
    data: bytes
    packed: bytes | None


class Pages:
    """The files of the folder `web`, read when they are first asked for.

    `fresh`: read each again whenever it is asked for, for who works on them.
    """

    def __init__(self, *, fresh: bool = False) -> None:
        self._root = files("llmpy.apps.webapp") / "web"
        self._fresh = fresh
        self._files: dict[str, _File] = {}

    async def answer(self, call: Call, path: str) -> None:
        """Send a file; ApiError 404 where there is none."""
        file = self._files.get(path)
        if file is None or self._fresh:
            file = self._files[path] = _read(self._root, path)
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


def _read(root: Traversable, path: str) -> _File:
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise _missing(path)
    file = root.joinpath(*parts)
    if not file.is_file():
        raise _missing(path)
    data = file.read_bytes()
    suffix = "." + parts[-1].rpartition(".")[2]
    kind = TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    packed = gzip.compress(data, 9, mtime=0) if suffix in COMPRESSED else None
    return _File(kind, f'"{hashlib.sha256(data).hexdigest()[:20]}"', data, packed)


def _missing(path: str) -> ApiError:
    return ApiError(404, f"there is no file {path[:200]!r} of the page", code="not_found")
