"""Programs of the WebGPU device: dispatches that are recorded anew for each step.

Native code records them in one call; where it is missing, or wgpu-native may be another than it was
written for, methods of wgpu do. Both record the same dispatches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from llmpy.backends.gpu.device import ROWS, Step
from llmpy.backends.gpu.shaders import INVOCATIONS
from llmpy.errors import BackendError
from llmpy.ffi import address, available, library
from llmpy.ffi.abi import GPU_DISPATCH, GpuFunctions
from llmpy.log import log

__all__ = ["Dispatch", "Native", "Program", "native"]

WIDEST = 32768  # workgroups in the first dimension; the second has the rest
MOST = WIDEST * 65535
MAJOR = 29  # of the version of wgpu-native
_PASS = "struct WGPUComputePassEncoderImpl *"
_TYPES = {  # as native/src/runtime/gpu_pass.cpp has them
    "wgpuComputePassEncoderSetPipeline": f"void(*)({_PASS}, struct WGPUComputePipelineImpl *)",
    "wgpuComputePassEncoderSetBindGroup": (
        f"void(*)({_PASS}, uint32_t, struct WGPUBindGroupImpl *, size_t, uint32_t *)"
    ),
    "wgpuComputePassEncoderDispatchWorkgroups": f"void(*)({_PASS}, uint32_t, uint32_t, uint32_t)",
}


class Native(NamedTuple):
    """The functions of wgpu-native for native code, and the address that an object has there."""

    functions: GpuFunctions
    handle: Callable[[Any], int]


@cache
def native() -> Native | None:
    """Return what native code needs, None where it does not know this version of wgpu-native."""
    doubt = _doubt()
    log.info("gpu: %s", f"recorded by wgpu: {doubt}" if doubt else "recorded by native code")
    if doubt:
        return None
    from wgpu.backends.wgpu_native import ffi, lib

    places = [int(ffi.cast("uintptr_t", getattr(lib, name))) for name in _TYPES]
    return Native(GpuFunctions(*places), lambda o: int(ffi.cast("uintptr_t", o._internal)))


def _doubt() -> str:
    """Say what is not as expected, if anything."""
    if not available():
        return "there is no compiled library"
    try:
        from wgpu.backends.wgpu_native import ffi, lib, lib_version_info, version_info

        if lib_version_info[0] != MAJOR or lib_version_info != version_info:
            return f"wgpu-native: expected version {MAJOR}, found {lib_version_info}"
        if ffi.sizeof("void *") != 8 or ffi.sizeof("size_t") != 8:
            return "addresses have other sizes than 64 bits"
        for name, expected in _TYPES.items():
            found = ffi.typeof(getattr(lib, name)).cname
            if found != expected:
                return f"{name}: expected {expected}, found {found}"
    except (ImportError, AttributeError) as error:
        return f"wgpu has changed: {error}"
    return ""


class Dispatch(NamedTuple):
    """A step made ready: its pipeline and bind group; `lanes`: see `Kernel`."""

    pipeline: Any
    group: Any
    step: Step
    lanes: int


class Program:
    """Dispatches, and how many workgroups each has with the rows of the last step."""

    def __init__(self, dispatches: Iterable[Dispatch], native: Native | None) -> None:
        self._dispatches, self._native = list(dispatches), native
        steps = [d.step for d in self._dispatches]
        self._kinds = np.array([ROWS.index(s.rows) for s in steps], np.intp)
        numbers = [(s.per, s.many, s.items) for s in steps]
        self._per, self._many, self._items = np.array(numbers, np.int64).reshape(-1, 3).T
        self._lanes = np.array([1 if d.lanes else INVOCATIONS for d in self._dispatches], np.int64)
        self._rows: tuple[int, ...] = ()
        self._commands = np.zeros(len(self._dispatches), GPU_DISPATCH)
        if native:
            self._commands["pipeline"] = [native.handle(d.pipeline) for d in self._dispatches]
            self._commands["bind_group"] = [native.handle(d.group) for d in self._dispatches]

    def __len__(self) -> int:
        return len(self._dispatches)

    def set_rows(self, rows: Mapping[str, int]) -> None:
        """Count the workgroups of each dispatch; raises BackendError for more than a GPU starts."""
        found = tuple(rows.get(name, 0) for name in ROWS)
        if found == self._rows:
            return
        items = -(-np.array(found, np.int64)[self._kinds] * self._per // self._many) * self._items
        n = -(-items // self._lanes)
        if n.size and not 0 <= n.min() <= n.max() <= MOST:
            raise BackendError(f"gpu: expected at most {MOST} workgroups, found {n.max()}")
        self._commands["x"] = np.minimum(n, WIDEST)
        self._commands["y"] = -(-n // WIDEST)
        self._rows = found

    def record(self, work: Any, first: int, end: int) -> None:
        """Append the dispatches from `first` to `end` to a compute pass of wgpu."""
        some = self._commands[first:end]
        if self._native:
            functions, handle = self._native
            library().llmpy_gpu_record(functions, handle(work), address(some), len(some))
            return
        counts = zip(some["x"].tolist(), some["y"].tolist(), strict=True)
        for (pipeline, group, _, _), (x, y) in zip(
            self._dispatches[first:end], counts, strict=True
        ):
            if x:
                work.set_pipeline(pipeline)
                work.set_bind_group(0, group)
                work.dispatch_workgroups(x, y, 1)
