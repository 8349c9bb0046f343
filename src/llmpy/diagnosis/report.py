"""The facts of this machine and installation, collected in about two seconds."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from llmpy import ffi
from llmpy.diagnosis.weaknesses import Weakness, weaknesses
from llmpy.errors import BackendError, LlmpyError
from llmpy.hub.finding import default_name, models
from llmpy.machine.bandwidth import read_bandwidth
from llmpy.machine.cpus import available_cpus, cpu_quota
from llmpy.machine.memory import (
    available_memory,
    group_memory_left,
    huge_pages,
    readable_bytes,
    total_memory,
)
from llmpy.machine.processor import (
    Cache,
    caches,
    features,
    frequency_governor,
    is_translated,
    processor_name,
)

__all__ = ["Diagnosis", "diagnose"]

_BANDWIDTH_BYTES = 256 << 20
_ARRAYS = {"torch": "torch", "jax": "jax", "cupy": "cupy", "mlx": "mlx.core"}


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis. Numbers are bytes, bytes per second and multiplications per second.

    `level`: the instruction set that the CPU backend uses, None without the compiled library, and
    `level_reason` says why; `levels`: those that it has kernels for, worst first. None where the
    system does not tell, or nothing was measured. `cpu_quota` and `group_memory_left` are what
    control groups (containers) leave. `missing`: packages that are not installed, the optional ones
    with the extra that brings them: "zstandard (llmpy[zstd])".
    """

    versions: dict[str, str]
    system: str
    machine: str
    processor: str
    processors: int
    available_processors: int
    cpu_quota: float | None
    load: float | None
    is_translated: bool
    governor: str | None
    library: str
    level: str | None
    level_reason: str
    levels: tuple[str, ...]
    caches: tuple[Cache, ...]
    memory: int | None
    available_memory: int | None
    group_memory_left: int | None
    huge_pages: str | None
    read_bandwidth: float | None
    multiply_rate: float | None
    backends: tuple[str, ...]
    gpus: tuple[str, ...]
    models: tuple[str, ...]
    default_model: str | None
    missing: tuple[str, ...]

    @property
    def weaknesses(self) -> tuple[Weakness, ...]:
        """Return the reasons why llmpy is slower or less able than it could be, the worst first."""
        return tuple(weaknesses(self))

    def __str__(self) -> str:
        rows = [(name, text) for name, text in self._rows() if text]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {text}" for name, text in rows]
        lines += ["", *(f"- {weak.text}\n  {weak.advice}" for weak in self.weaknesses)]
        if not self.weaknesses:
            lines.append("Nothing to improve was found.")
        return "\n".join(lines)

    def _rows(self) -> list[tuple[str, str]]:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        processors = f"{self.available_processors} of {self.processors} processors"
        memory = _size(self.available_memory) + (
            f" free of {_size(self.memory)}" * bool(self.memory)
        )
        quota = f"{self.cpu_quota:g} processors" if self.cpu_quota is not None else ""
        limit = self.group_memory_left
        group = f"{readable_bytes(limit)} of memory" if limit is not None else ""
        rate = self.multiply_rate
        return [
            ("versions", versions),
            ("system", f"{self.system}, {self.machine}"),
            ("processor", f"{self.processor}, {processors}"),
            ("instructions", f"{self.level or 'none'}: {self.level_reason}"),
            ("caches", ", ".join(map(str, self.caches))),
            ("memory", memory),
            (
                "reads memory",
                f"{self.read_bandwidth / 1e9:.1f} GB/s" if self.read_bandwidth else "",
            ),
            ("multiplies", f"{rate / 1e9:.0f} billion 8-bit products/s" if rate else ""),
            ("huge pages", self.huge_pages or ""),
            ("limits", ", ".join(filter(None, (quota, group)))),
            ("backends", ", ".join(self.backends)),
            ("GPUs", "; ".join(self.gpus)),
            ("models", ", ".join(self.models) or "none"),
        ]


def diagnose(measure: bool = True) -> Diagnosis:
    """Look at this machine and installation.

    `measure`: also measure the memory's read bandwidth and the rate of multiplications, which takes
    about a second and all processors.
    """
    level, reason, levels = _level()
    names, default = _models()
    return Diagnosis(
        versions=_versions(),
        system=platform.platform(),
        machine=platform.machine(),
        processor=processor_name(),
        processors=os.cpu_count() or 1,
        available_processors=available_cpus(),
        cpu_quota=cpu_quota(),
        load=_load(),
        is_translated=is_translated(),
        governor=frequency_governor(),
        library=str(ffi.library_path()),
        level=level,
        level_reason=reason,
        levels=levels,
        caches=tuple(caches()),
        memory=total_memory(),
        available_memory=available_memory(),
        group_memory_left=_group_memory(),
        huge_pages=huge_pages(),
        read_bandwidth=_bandwidth() if measure and level else None,
        multiply_rate=_multiplications() if measure and level else None,
        backends=_backends(level is not None),
        gpus=_gpus(),
        models=names,
        default_model=default,
        missing=_missing(),
    )


def _group_memory() -> int | None:
    """Return the bytes that control groups leave, if the machine has more."""
    left, memory = group_memory_left(), total_memory()
    return left if left is not None and (memory is None or left < memory) else None


def _size(n: int | None) -> str:
    return "unknown" if n is None else readable_bytes(n)


def _versions() -> dict[str, str]:
    found = {"llmpy": version("llmpy") if _is_installed("llmpy") else "not installed"}
    found["Python"] = f"{platform.python_version()} ({sys.implementation.name})"
    names = [name for name, extra in _requirements() if not extra]
    return found | {name: version(name) for name in names if _is_installed(name)}


def _requirements() -> list[tuple[str, str]]:
    """The packages that llmpy names: without an extra, or the extra that brings them."""
    import re

    try:
        lines = requires("llmpy") or []
    except PackageNotFoundError:
        return []
    found = []
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra\s*==\s*[\"'](\w+)", line)
        if name and name[0] != "llmpy":
            found.append((name[0], extra[1] if extra else ""))
    return found


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _missing() -> tuple[str, ...]:
    """Packages that llmpy needs or its users may want, and that are not installed."""
    unwanted = ("test", "dev", "train")
    wanted = [(name, extra) for name, extra in _requirements() if extra not in unwanted]
    return tuple(
        f"{name} (llmpy[{extra}])" if extra else name
        for name, extra in wanted
        if not _is_installed(name)
    )


def _level() -> tuple[str | None, str, tuple[str, ...]]:
    """The instruction set in use, why it is that, and all that there are kernels for."""
    try:
        levels = tuple(ffi.level_names())
        number = ffi.level_number()
    except BackendError as error:
        return None, str(error), ()
    level = levels[number]
    if os.environ.get("LLMPY_CPU"):
        return level, "the environment variable LLMPY_CPU says so", levels
    if number == len(levels) - 1:
        return level, f"the best of {', '.join(levels)}", levels
    better = levels[number + 1]
    lacking = sorted(
        _NEEDS.get(better, frozenset()) - (features() or _NEEDS.get(better, frozenset()))
    )
    what = " ".join(lacking) or "what it needs"
    return level, f"{better} is not possible: this processor or its system lacks {what}", levels


_NEEDS = {  # by the names of Linux
    "avx2": frozenset({"avx2", "fma", "f16c"}),
    "avx_vnni": frozenset({"avx_vnni"}),
    "avx512bw": frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"}),
    "avx512": frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}),
    "amx": frozenset({"avx512_vnni", "amx_tile", "amx_int8"}),
    "neon": frozenset({"asimddp"}),
    "neon_i8mm": frozenset({"i8mm"}),
}


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has none
        return None


def _bandwidth() -> float | None:
    with suppress(BackendError):
        return read_bandwidth(available_cpus(), _BANDWIDTH_BYTES, passes=5)
    return None


def _multiplications() -> float | None:
    from llmpy.diagnosis.products import multiply_rate

    with suppress(BackendError):
        return multiply_rate()
    return None


def _backends(compiled: bool) -> tuple[str, ...]:
    """Names for `load(backend=...)`. Array packages are found, not imported."""
    found = ["cpu"] if compiled else []
    found += ["reference", "array"]
    for name, package in _ARRAYS.items():
        with suppress(ImportError):  # of a parent package
            if find_spec(package):
                found.append(f"array:{name}")
    return tuple(found)


def _gpus() -> tuple[str, ...]:
    """The adapters for `backend="gpu"`, and which of them "auto" takes, or why none."""
    if find_spec("wgpu") is None:
        return ()
    from llmpy.backends.cpu.backend import CpuBackend
    from llmpy.backends.gpu.find import auto_device, device_names

    try:
        names = device_names()
    except BackendError as error:
        return (str(error),)
    found = auto_device(CpuBackend)
    taken = "takes a GPU" if found.device is not None else "takes the CPU"
    return (*names, f"auto {taken}: {found.reason}")


def _models() -> tuple[tuple[str, ...], str | None]:
    try:
        return tuple(model.name for model in models()), default_name()
    except (LlmpyError, OSError):
        return (), None
