"""Weaknesses of a machine, each with what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmpy.machine.memory import readable_bytes

if TYPE_CHECKING:
    from llmpy.diagnosis.report import Diagnosis

__all__ = ["Weakness", "weaknesses"]

_LITTLE_MEMORY = 2 << 30  # bytes
_SLOW_MEMORY = 8e9  # bytes per second


@dataclass(frozen=True)
class Weakness:
    """A weakness in a sentence, and what to do about it."""

    text: str
    advice: str


def weaknesses(found: Diagnosis) -> Iterator[Weakness]:
    """Each weakness of what was found, the worst first."""
    yield from _of_the_installation(found)
    yield from _of_the_processors(found)
    yield from _of_the_memory(found)
    yield from _of_the_packages(found)
    if not found.models:
        yield Weakness(
            "There is no model on this machine that has a name.",
            "`llmpy pull smollm2` gets a small one; `llmpy pull` alone lists others.",
        )
    elif found.default_model is None:
        yield Weakness(
            "No model is the default.", f"`llmpy default {found.models[0]}` chooses one."
        )


def _of_the_installation(found: Diagnosis) -> Iterator[Weakness]:
    if found.is_translated:
        yield Weakness(
            "This Python is for Intel's processors and macOS translates it: many times slower.",
            "Install a Python for arm64, and llmpy in it.",
        )
    if found.level is None:
        yield Weakness(
            "The compiled library is missing or cannot be loaded: models run very slowly.",
            "Upgrade pip, then `pip install --force-reinstall --no-cache-dir llmpy`. If there "
            "is no wheel, `pip install --no-binary llmpy llmpy` with a C++17 compiler.",
        )
    elif os.environ.get("LLMPY_CPU") and found.level != found.levels[-1]:
        yield Weakness(
            f"LLMPY_CPU keeps the instruction set at {found.level}.", "Unset it, unless you test."
        )
    elif found.level == "portable":
        yield Weakness(
            f"Only portable kernels run here ({found.level_reason}).",
            "If this is a virtual machine or an emulator, let it pass the host's processor through "
            '("host" as its processor model); else another machine is many times faster.',
        )


def _of_the_packages(found: Diagnosis) -> Iterator[Weakness]:
    needed = [name for name in found.missing if "(" not in name]
    if needed:
        yield Weakness(
            f"Packages that llmpy needs are missing: {', '.join(needed)}.",
            "`pip install --upgrade --force-reinstall llmpy` installs them.",
        )
    extras = {name.rpartition("[")[2].rstrip("])") for name in found.missing if "(" in name}
    if extras:
        optional = ", ".join(name for name in found.missing if "(" in name)
        yield Weakness(
            f"Optional packages are not installed: {optional}.",
            f'`pip install "llmpy[{",".join(sorted(extras))}]"` installs them, if you want what '
            "they are for.",
        )


def _of_the_processors(found: Diagnosis) -> Iterator[Weakness]:
    if found.cpu_quota is not None and found.cpu_quota < found.processors:
        yield Weakness(
            f"A container or control group allows {found.cpu_quota:g} of {found.processors} "
            "processors.",
            "Raise its limit (`docker run --cpus`, `CPUQuota=` of systemd), or let it be.",
        )
    elif found.available_processors < found.processors:
        yield Weakness(
            f"This process may use {found.available_processors} of {found.processors} processors.",
            "`taskset -p $$` shows the affinity, `taskset -pc 0-N $$` changes it.",
        )
    if found.load is not None and found.load > 0.5 * found.available_processors:
        yield Weakness(
            f"Other programs are busy: {found.load:.1f} processors were in use during the last "
            "minute.",
            "Close them, or give llmpy fewer threads: `-t N`, `load(n_threads=N)`.",
        )
    if found.governor == "powersave":
        yield Weakness(
            "Linux saves power: the processor's frequency may stay low.",
            "`powerprofilesctl set performance`, or `cpupower frequency-set -g performance`.",
        )


def _of_the_memory(found: Diagnosis) -> Iterator[Weakness]:
    limit, free = found.group_memory_left, found.available_memory
    if limit is not None and found.memory is not None and limit < 0.5 * found.memory:
        yield Weakness(
            f"A container or control group leaves {readable_bytes(limit)} of memory.",
            "Raise its limit (`docker run --memory`, `MemoryMax=` of systemd), or choose a model "
            "that fits: `llmpy plan MODEL`.",
        )
    elif free is not None and free < _LITTLE_MEMORY:
        yield Weakness(
            f"Only {readable_bytes(free)} of memory are free.",
            "Close programs, or choose a smaller model or context: `llmpy plan MODEL -c N`.",
        )
    if found.read_bandwidth is not None and found.read_bandwidth < _SLOW_MEMORY:
        yield Weakness(
            f"Memory is read at {found.read_bandwidth / 1e9:.1f} GB/s: a token of a model of 1 GB "
            f"takes {1e9 / found.read_bandwidth:.2f} s at least.",
            "Is the machine busy, or a memory slot empty? Smaller types of weights (`llmpy "
            "quantize`) are faster in proportion.",
        )
    if found.huge_pages == "never":
        yield Weakness(
            "Linux uses no huge pages: large weights are read more slowly.",
            "`echo madvise > /sys/kernel/mm/transparent_hugepage/enabled` as root.",
        )
