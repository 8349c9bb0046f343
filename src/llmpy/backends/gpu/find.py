"""The devices of this machine by name, each opened once."""

from __future__ import annotations

import threading
from typing import Any

from llmpy.backends.gpu.device import Device
from llmpy.backends.gpu.self_check import check_device
from llmpy.errors import BackendError

__all__ = ["open_device"]

_open: dict[str, Any] = {}
_lock = threading.Lock()


def open_device(which: str = "") -> Device:
    """Return the checked device of "gpu:WHICH": by its number, a part of its name, or the first.

    Raises BackendError where there is none, or it computes something else than it should.
    """
    from llmpy.backends.gpu.wgpu_device import WgpuDevice, adapters

    with _lock:
        device = _open.get(which)
        if device is None or device.lost:
            found = adapters()
            names = [f"{a.info['device']}, {a.info['backend_type']}" for a in found]
            chosen = [
                i
                for i, name in enumerate(names)
                if which in ("", str(i)) or (not which.isdigit() and which.lower() in name.lower())
            ]
            if not chosen:
                known = "; ".join(f"{i}: {name}" for i, name in enumerate(names)) or "none"
                raise BackendError(
                    f"gpu: expected an adapter for Vulkan, Metal or Direct3D 12 that is {which!r}, "
                    f"found {known}"
                )
            device = WgpuDevice(found[chosen[0]])
            check_device(device)
            _open[which] = device
        found_device: Device = device
        return found_device
