"""Where a new file goes: through links, and never in the place of what is no file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from llmpy.errors import ModelFileError

__all__ = ["target_of"]

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
