"""The processor: its name, its features and its caches, as far as the system tells."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cache", "caches", "features", "frequency_governor", "is_translated", "processor_name"]


@dataclass(frozen=True)
class Cache:
    """A cache of the first processor: level, "data", "instruction" or "unified", bytes.

    `shared_by` is the number of processors that share it, None where the system does not tell.
    """

    level: int
    kind: str
    bytes: int
    shared_by: int | None

    def __str__(self) -> str:
        letter = {"data": "d", "instruction": "i"}.get(self.kind, "")
        shared = f" shared by {self.shared_by}" if (self.shared_by or 1) > 1 else ""
        kilobytes = self.bytes / 1024
        size = f"{kilobytes / 1024:g} MiB" if kilobytes >= 1024 else f"{kilobytes:g} KiB"
        return f"L{self.level}{letter} {size}{shared}"


def processor_name() -> str:
    """The name that the maker gave it, else that of its architecture."""
    if sys.platform == "win32":
        found = _registry_name()
    elif sys.platform == "darwin":
        found = _sysctl("machdep.cpu.brand_string")
    else:
        found = _cpuinfo("model name")
    return found or platform.processor() or platform.machine()


def features() -> frozenset[str] | None:
    """Names of the instruction sets, as Linux or macOS call them; None where none is told."""
    if sys.platform == "darwin":
        known = ("FEAT_DotProd", "FEAT_I8MM")
        found = {name for name in known if _sysctl(f"hw.optional.arm.{name}") == "1"}
        intel = _sysctl("machdep.cpu.features") + " " + _sysctl("machdep.cpu.leaf7_features")
        return frozenset(found | set(intel.lower().split()))
    listed = _cpuinfo("flags") or _cpuinfo("Features")
    return frozenset(listed.split()) if listed else None


def caches(root: Path = Path("/")) -> list[Cache]:
    """The caches of the first processor, nearest first; none where the system does not tell."""
    if sys.platform == "darwin":
        names = (
            (1, "data", "hw.l1dcachesize"), (1, "instruction", "hw.l1icachesize"),
            (2, "unified", "hw.l2cachesize"), (3, "unified", "hw.l3cachesize"),
        )  # fmt: skip
        sizes = ((level, kind, _sysctl(name)) for level, kind, name in names)
        return [
            Cache(level, kind, int(n), None)
            for level, kind, n in sizes
            if n.isdecimal() and n > "0"
        ]
    found = []
    for folder in (root / "sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            level, kind, size, shared = (
                (folder / name).read_text().strip()
                for name in ("level", "type", "size", "shared_cpu_list")
            )
            units = {"K": 1 << 10, "M": 1 << 20}
            n_bytes = int(size.rstrip("KM")) * units.get(size[-1:], 1)
            found.append(Cache(int(level), kind.lower(), n_bytes, _count(shared)))
        except (OSError, ValueError):
            continue
    return sorted(found, key=lambda cache: (cache.level, cache.kind))


def frequency_governor(root: Path = Path("/")) -> str | None:
    """Return Linux's frequency governor of the first processor; None where it does not tell."""
    path = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    try:
        return path.read_text().strip()
    except OSError:
        return None


def is_translated() -> bool:
    """Whether macOS translates this process, which is for Intel's processors, while it runs."""
    return sys.platform == "darwin" and _sysctl("sysctl.proc_translated") == "1"


def _count(processors: str) -> int:
    """Count the members of a list of Linux: "0-3,8" has 5."""
    ranges = (part.split("-") for part in processors.split(","))
    return sum(int(part[-1]) - int(part[0]) + 1 for part in ranges)


def _cpuinfo(key: str, root: Path = Path("/")) -> str:
    try:
        text = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{key}\s*: *(.+)$", text, re.M)
    return found[1].strip() if found else ""


def _sysctl(name: str) -> str:
    """A value of macOS's system; an empty string where it has none."""
    try:
        command = ["/usr/sbin/sysctl", "-n", name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _registry_name() -> str:
    """The processor's name in the registry of Windows."""
    if sys.platform != "win32":
        return ""
    import winreg

    path = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    except OSError:
        return ""
