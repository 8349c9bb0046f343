"""Bytes of snapshots by zstandard, which is an optional package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.errors import SnapshotError

__all__ = ["compressed", "decompressed", "zstandard"]

LEVEL = 3  # more takes longer than it saves: keys and values look like noise


def zstandard() -> Any:
    """The package; ImportError with what to do."""
    try:
        import zstandard as package
    except ImportError as error:
        raise ImportError(
            "snapshots with compression need the package zstandard: pip install zstandard, or "
            "compression='none'"
        ) from error
    return package


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """One stream of all the pieces."""
    stream = zstandard().ZstdCompressor(level=LEVEL).compressobj()
    for piece in pieces:
        if found := stream.compress(piece):
            yield found
    yield stream.flush()


def decompressed(data: NDArray[np.uint8], sizes: Sequence[int], path: Path) -> Iterator[bytes]:
    """The pieces of these sizes; never more than that, whatever the stream holds."""
    package = zstandard()
    with package.ZstdDecompressor().stream_reader(data.data) as stream:
        for size in sizes:
            try:
                piece = stream.read(size)
                while 0 < len(piece) < size and (more := stream.read(size - len(piece))):
                    piece += more
            except package.ZstdError as error:
                raise SnapshotError(path, "cache.zst", "a stream of zstd", str(error)) from None
            if len(piece) != size:
                found = f"{len(piece)} of them"
                raise SnapshotError(path, "cache.zst", f"{size} bytes more", found)
            yield piece
