"""Writing new files: through links, never in place of what is no file, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llmpy.errors import ModelFileError

__all__ = ["replacing", "sync_folder", "target_of", "temporary_name"]

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISLNK, "a link that leads back to itself"),
)


def target_of(path: Path) -> Path:
    """The file that `path` names, itself or through links; it need not exist yet.

    Raises ModelFileError where something else than a file has that name: a file that is renamed
    into place would take the place of a device too.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return target
    except (OSError, ValueError) as error:
        raise ModelFileError(path, "output", "a file that can be written", str(error)) from error
    if not stat.S_ISREG(mode):
        found = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise ModelFileError(path, "output", "a file, or a new name", found)
    return target


def temporary_name(final: Path) -> Path:
    """Return the name that a file has until it is whole."""
    return final.with_name(f".{final.name}.{os.urandom(4).hex()}.partial")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` once the block has ended without an error.

    Until then what was there before stays, whenever the process or the machine ends; where the
    system can, nothing else stays either.
    """
    final = target_of(path)
    temporary = temporary_name(final)
    try:
        with _unnamed(final.parent) or temporary.open("xb") as file:
            yield file
            file.flush()
            if os.name == "posix" and final.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(final.stat().st_mode))
            os.fsync(file.fileno())
            if not temporary.exists():
                _name(file, temporary)
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(final.parent)


def _unnamed(folder: Path) -> BinaryIO | None:
    """A new file in a folder that has no name yet, and is gone with the process; None: no such."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not os.path.isdir("/proc/self/fd"):
        return None
    mask = os.umask(0)
    os.umask(mask)
    try:
        return open(os.open(folder, flag | os.O_RDWR, 0o666 & ~mask), "w+b")
    except OSError:
        return None


def _name(file: BinaryIO, path: Path) -> None:
    """Give a file without a name one, or make a copy of it where the system does not let us."""
    try:
        # The folder, which an absolute path needs not, makes Python follow the link.
        os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno())
    except OSError:
        import shutil  # which takes a while

        file.seek(0)
        with path.open("xb") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            os.fsync(copy.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename in it last through a power cut, where the system lets one."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
