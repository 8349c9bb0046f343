"""Snapshots: a session in a file, to go on with later as if nothing had been between.

The container is safetensors: tokens, whole pages of the KV cache, the used bytes of the last one,
the recurrent state; with compression one stream of these. "about" of its metadata says the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy.engine.saving import CacheSize
from llmpy.errors import ModelFileError, SnapshotError
from llmpy.format.json_text import parse_object
from llmpy.format.mapped import MappedFile
from llmpy.format.safetensors import read_header
from llmpy.format.target import replacing
from llmpy.session.compression import compressed, decompressed

if TYPE_CHECKING:
    from llmpy.engine.saving import FrozenCache

__all__ = ["COMPRESSIONS", "Snapshot", "open_snapshot", "write_snapshot"]

FORMAT = "llmpy.session"
VERSION = 2
COMPRESSIONS = ("none", "zstd")
NO_DIGEST = "0" * 64  # stands where the checksum goes while it is made
PIECE = 1 << 22  # bytes that are read at once
AGAIN = "Save the session again."


class Snapshot(NamedTuple):
    """A snapshot that was read and found whole.

    `about`: what was saved besides the tokens and the cache; `pieces` gives the cache.
    """

    path: Path
    about: dict[str, Any]
    tokens: NDArray[np.int32]
    size: CacheSize
    file: MappedFile
    parts: dict[str, tuple[int, int]]

    def pieces(self) -> Iterator[bytes]:
        """Yield what `FrozenCache.pieces` gave."""
        size = self.size
        sizes = size.pages + [n for n in (size.tail, size.state) if n]
        if "cache.zst" in self.parts:
            view = self.file.view(*self.parts["cache.zst"])
            yield from decompressed(view, sizes, self.path)
            return
        start = self.parts["cache"][0] if "cache" in self.parts else 0
        for n in sizes:
            yield self.file.view(start, n).tobytes()
            start += n

    def refuse(self, field: str, expected: str, found: str, hint: str | None = None) -> Exception:
        """The error about this file."""
        return SnapshotError(self.path, field, expected, found, hint=hint)


def write_snapshot(
    path: Path, about: dict[str, Any], cache: FrozenCache, compression: str = "none"
) -> None:
    """Write a snapshot; what was at `path` before stays until it is whole."""
    size, tokens = cache.size, cache.tokens
    about = {**about, "cache": asdict(size), "n_tokens": len(tokens)}
    name = "cache.zst" if compression == "zstd" else "cache"
    with replacing(path) as file:
        reserved = _header(about, len(tokens), name, (1 << 53) - 1, NO_DIGEST, 0)
        length = len(reserved)
        _write_header(file, reserved)
        data = hashlib.sha256()
        pieces: Iterable[bytes] = cache.pieces()
        if compression == "zstd" and size.total:
            pieces = compressed(pieces)
        n_bytes = -4 * len(tokens)
        for piece in chain((tokens.tobytes(),), pieces):
            file.write(piece)
            data.update(piece)
            n_bytes += len(piece)
        bare = _header(about, len(tokens), name, n_bytes, NO_DIGEST, length)
        digest = _digest(bare, data.digest())
        file.seek(0)
        _write_header(file, _header(about, len(tokens), name, n_bytes, digest, length))


def _header(
    about: dict[str, Any], n_tokens: int, name: str, n_bytes: int, digest: str, length: int
) -> bytes:
    """The header, filled up with spaces to `length` bytes."""
    end = 4 * n_tokens
    header: dict[str, Any] = {
        "__metadata__": {
            "format": FORMAT,
            "version": str(VERSION),
            "sha256": digest,
            "about": json.dumps(about),
        },
        "tokens": {"dtype": "I32", "shape": [n_tokens], "data_offsets": [0, end]},
    }
    if n_bytes:
        offsets = [end, end + n_bytes]
        header[name] = {"dtype": "U8", "shape": [n_bytes], "data_offsets": offsets}
    text = json.dumps(header).encode()
    return text + b" " * (max(length, len(text) + -len(text) % 8) - len(text))


def _write_header(file: BinaryIO, text: bytes) -> None:
    file.write(len(text).to_bytes(8, "little") + text)


def _digest(bare: bytes, data: bytes) -> str:
    return hashlib.sha256(bare + data).hexdigest()


def open_snapshot(path: Path) -> Snapshot:
    """Open a snapshot, and make sure that every bit of it is as it was written.

    Raises SnapshotError for a file that is none, of another version, cut off, or changed.
    """
    try:
        file = MappedFile(path)
        try:
            return _checked(file)
        except BaseException:
            file.close()
            raise
    except SnapshotError:
        raise
    except ModelFileError as error:
        raise SnapshotError(
            error.path, error.field, error.expected, error.found, offset=error.offset, hint=AGAIN
        ) from None


def _checked(file: MappedFile) -> Snapshot:
    path = file.path
    stored = {info.name: info for info in read_header(file)}
    length = int.from_bytes(file.buffer[:8], "little")
    header = bytes(file.buffer[8 : 8 + length])
    metadata = parse_object(header, path, "header").get("__metadata__")
    metadata = metadata if isinstance(metadata, dict) else {}
    if metadata.get("format") != FORMAT:
        raise SnapshotError(path, "format", FORMAT, _short(metadata.get("format")))
    if metadata.get("version") != str(VERSION):
        hint = "Another version of llmpy has written it."
        raise SnapshotError(
            path, "version", str(VERSION), _short(metadata.get("version")), hint=hint
        )
    digest = metadata.get("sha256")
    if not isinstance(digest, str) or len(digest) != len(NO_DIGEST):
        raise SnapshotError(path, "sha256", "64 digits", _short(digest), hint=AGAIN)
    data = hashlib.sha256()
    for start in range(8 + length, file.size, PIECE):
        data.update(file.buffer[start : min(start + PIECE, file.size)])
    found = _digest(header.replace(digest.encode(), NO_DIGEST.encode(), 1), data.digest())
    if found != digest:
        raise SnapshotError(
            path, "sha256", digest, found, hint=f"The file was damaged. {AGAIN}"
        )  # fmt: skip
    about = parse_object(str(metadata.get("about")).encode(), path, "about")
    return _consistent(file, about, {k: (i.offset, i.size) for k, i in stored.items()})


def _consistent(
    file: MappedFile, about: dict[str, Any], parts: dict[str, tuple[int, int]]
) -> Snapshot:
    """Check that the parts agree: a checksum detects accidents, not intent."""
    path, numbers = file.path, about.get("cache")
    if (
        not isinstance(numbers, dict)
        or numbers.keys() != {f.name for f in fields(CacheSize)}
        or any(type(n) is not int or not 0 <= n < 1 << 48 for n in numbers.values())
    ):
        raise SnapshotError(path, "about.cache", "the sizes of a cache", _short(numbers))
    size = CacheSize(**numbers)
    start, n_bytes = parts.get("tokens", (0, -1))
    if n_bytes % 4 or n_bytes < 0 or about.get("n_tokens") != n_bytes // 4:
        raise SnapshotError(path, "tokens", "as many as about.n_tokens", f"{n_bytes} bytes")
    if size.n_tokens > n_bytes // 4:
        raise SnapshotError(path, "about.cache", f"at most {n_bytes // 4} tokens", str(size))
    raw = parts.get("cache", (0, 0))[1]
    if "cache.zst" not in parts and raw != size.total:
        raise SnapshotError(path, "cache", f"{size.total} bytes", str(raw))
    tokens = file.view(start, n_bytes).view(np.int32).copy()
    return Snapshot(path, about, tokens, size, file, parts)


def _short(value: object) -> str:
    return repr(value)[:80]
