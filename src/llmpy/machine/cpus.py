"""The number of processors that this process may use, given affinity and control groups."""

from __future__ import annotations

import math
import os
from pathlib import Path

from llmpy.machine.cgroups import group_folders

__all__ = ["available_cpus", "cpu_quota"]


def available_cpus() -> int:
    """Return the number of CPUs available to this process, at least 1."""
    try:
        n = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        n = os.cpu_count() or 1
    quota = cpu_quota()
    return max(1, n if quota is None else min(n, math.ceil(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Processors that Linux control groups allow, version 2 or 1; None where they do not limit."""
    found = map(_quota_of_group, group_folders("cpu", root))
    return min((quota for quota in found if quota is not None), default=None)


def _quota_of_group(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            most, period = (folder / "cpu.max").read_text().split()
        else:
            most = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(most) / int(period) if int(most) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number either
        return None
