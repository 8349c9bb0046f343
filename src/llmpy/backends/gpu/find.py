"""The devices of this machine by name, each opened once, and the one that "auto" takes."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from llmpy.backends.base import Backend
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.device import Device
from llmpy.backends.gpu.self_check import check_device, seconds_per_token
from llmpy.errors import BackendError, OutOfMemory
from llmpy.log import log

__all__ = ["Found", "auto_device", "device_names", "open_device", "picked"]

_open: dict[str, Any] = {}
_lock = threading.Lock()


class Found(NamedTuple):
    """The device that "auto" takes, if any, and why it is this one or none."""

    device: Device | None
    reason: str


class Adapter(Protocol):
    """A GPU before it is opened."""

    name: str
    software: bool


def device_names() -> list[str]:
    """Return the names of the devices by number; raises BackendError where wgpu is missing."""
    return [adapter.name for adapter in _adapters()]


def open_device(which: str = "") -> Device:
    """Return the checked device of "gpu:WHICH": by its number, a part of its name, or the first.

    Raises BackendError where there is none, or it computes something else than it should.
    """
    from llmpy.backends.gpu.wgpu_device import WgpuDevice

    with _lock:
        device = _open.get(which)
        if device is None or device.lost:
            found = _adapters()
            device = WgpuDevice(found[_chosen([a.name for a in found], which)])
            check_device(device)
            _open[which] = device
        opened: Device = device
        return opened


def auto_device(cpu: Callable[[], Backend]) -> Found:
    """Return the device that is faster than the backend `cpu`; looked for once in a process."""
    with _lock:
        known = _auto.get("found")
    if known is None:
        known = _looked_for(cpu)
        log.info("gpu: %s", known.reason)
        with _lock:
            _auto["found"] = known
    return known


_auto: dict[str, Found] = {}


def _looked_for(cpu: Callable[[], Backend]) -> Found:
    if importlib.util.find_spec("wgpu") is None:
        return Found(None, "llmpy[gpu] is not installed")
    if not _has_hardware():
        return Found(None, "this machine has no GPU that llmpy knows of")
    try:
        return picked(_adapters(), lambda i: open_device(str(i)), seconds_per_token, cpu)
    except BackendError as error:
        return Found(None, str(error))


def picked(
    adapters: Sequence[Adapter],
    opened: Callable[[int], Device],
    seconds: Callable[[Backend], float],
    cpu: Callable[[], Backend],
) -> Found:
    """Choose among adapters: the first of hardware, if it is right and faster than the CPU."""
    number = next((i for i, adapter in enumerate(adapters) if not adapter.software), None)
    if number is None:
        names = ", ".join(adapter.name for adapter in adapters) or "none"
        return Found(None, f"no adapter of hardware was found: {names}")
    try:
        device = opened(number)
        there, here = seconds(GpuBackend(device)), seconds(cpu())
    except (BackendError, OutOfMemory) as error:
        return Found(None, str(error))
    ratio = here / there
    text = f"{device.name}: a matmul of one row is {ratio:.1f} times as fast as on the CPU"
    return Found(device if ratio > 1 else None, text)


@cache
def _adapters() -> list[Any]:
    from llmpy.backends.gpu.wgpu_device import adapters

    return adapters()


def _chosen(names: Sequence[str], which: str) -> int:
    """The number of the device that is meant."""
    for i, name in enumerate(names):
        part = not which.isdigit() and which.lower() in name.lower()
        if which in ("", str(i)) or part:
            return i
    known = "; ".join(f"{i}: {name}" for i, name in enumerate(names)) or "none"
    raise BackendError(
        f"gpu: expected an adapter for Vulkan, Metal or Direct3D 12 that is {which or 'any'!r}, "
        f"found {known}"
    )


def _has_hardware(root: Path = Path("/dev")) -> bool:
    """Whether there may be a GPU, before a package is imported that looks for one."""
    if not sys.platform.startswith("linux"):
        return True
    found = [*root.glob("nvidia[0-9]*"), *root.glob("dri/renderD*"), *root.glob("dxg")]
    return bool(found)
