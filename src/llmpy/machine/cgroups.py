"""The control groups of Linux that this process is in: each of them may limit it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["group_folders"]


def group_folders(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """Folders of the groups that limit this process, from its own up to the outermost.

    `controller` is "cpu" or "memory"; groups of version 2 are of all controllers. Nothing where
    there are no control groups. In a container the path of a group may be the host's: folders that
    are not there are among those returned.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:  # "0::/path" or "4:cpu,cpuacct:/path"
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            yield folder
            if folder == top:
                break
