"""One file on disk, seen through a read-only memory map.

Nothing is read before it is looked at, and the operating system may drop pages at any time. A file
that shrinks while it is open is out of scope: reading behind its new end kills the process, as it
does for every program that maps files.
"""

from __future__ import annotations

import contextlib
import mmap
import stat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmpy.errors import ModelFileError

__all__ = ["MappedFile"]


class MappedFile:
    """A file's bytes: `buffer` is the map, `size` its length in bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise ModelFileError(
                    path, "file", "a model file", "a folder", hint="Give the file inside it."
                )
            if not stat.S_ISREG(mode):
                raise ModelFileError(path, "file", "a model file", "a pipe, socket or device")
            with path.open("rb") as file:
                self.size = file.seek(0, 2)
                if self.size == 0:
                    raise ModelFileError(
                        path,
                        "file",
                        "a model file",
                        "an empty file",
                        offset=0,
                        hint="The download or copy did not finish; get the file again.",
                    )
                self._map: mmap.mmap | None = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise ModelFileError(path, "file", "an existing file", "no such file") from error
        except ModelFileError:
            raise
        except (OSError, ValueError) as error:
            raise ModelFileError(path, "file", "a readable file", str(error)) from error

    @property
    def buffer(self) -> mmap.mmap:
        """The map; raises `ModelFileError` after `close()`."""
        if self._map is None:
            raise ModelFileError(self.path, "file", "an open file", "a closed one")
        return self._map

    def view(self, offset: int, size: int) -> NDArray[np.uint8]:
        """Bytes `offset` to `offset + size` as a read-only uint8 array, without a copy."""
        return np.frombuffer(self.buffer, np.uint8, size, offset)

    def release(self, offset: int, size: int) -> None:
        """Tell the system that the whole pages inside these bytes are not needed for now.

        They stay readable (from the disk again). Does nothing where the system has no such call,
        and after `close()`.
        """
        page = mmap.PAGESIZE
        first = -(-offset // page) * page
        last = (offset + size) // page * page
        if offset + size == self.size:
            last = offset + size  # the last page of the file belongs to nobody else
        advice = getattr(mmap, "MADV_DONTNEED", None)
        if advice is not None and last > first and self._map is not None:
            self._map.madvise(advice, first, last - first)

    def close(self) -> None:
        """Give the map back; arrays from `view` stay valid, and keep it alive while they live."""
        held, self._map = self._map, None
        if held is not None:
            with contextlib.suppress(BufferError):
                held.close()
