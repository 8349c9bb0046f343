"""The WebGPU device: Vulkan, Metal and Direct3D 12 through wgpu-native."""

from __future__ import annotations

import os
import struct
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import pairwise
from tempfile import gettempdir
from typing import Any, ParamSpec, TypeVar

from llmpy.backends.gpu.device import FLOATS, KERNELS, ROWS, Buffer, Step
from llmpy.backends.gpu.shaders import source
from llmpy.backends.gpu.wgpu_replay import Dispatch, Program, native
from llmpy.errors import BackendError, OutOfMemory
from llmpy.machine.graphics import free_video_memory
from llmpy.machine.memory import available_memory

__all__ = ["Adapter", "WgpuDevice", "adapters"]

A = ParamSpec("A")
R = TypeVar("R")
APIS = ("Vulkan", "Metal", "D3D12")  # the better one first, where a GPU has two
LONG = 64  # rows of a batch that takes long; dispatches of a program that does so to record
TOGETHER = 16  # its dispatches that are submitted at once: systems end work that takes seconds
STRIDE = 256  # bytes between the parameters of two steps


_PROCESS = {"asked": False, "forked": False}  # whether GPUs were asked for, here or before a fork
FORKED = (
    "gpu: this process was forked from one that had opened the GPU, which one process alone can "
    "use: start it anew (multiprocessing: the method 'spawn' or 'forkserver')"
)


def _in_child() -> None:
    _PROCESS["forked"] = _PROCESS["asked"]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def _wgpu() -> Any:
    """The package; raises BackendError where it is missing."""
    try:
        import wgpu
        import wgpu.backends.wgpu_native
    except ImportError as error:
        raise BackendError(
            f"the gpu backend needs {error.name!r}: pip install 'llmpy[gpu]'"
        ) from error
    return wgpu


class Adapter:
    """A GPU that can be opened; `raw` is wgpu's."""

    def __init__(self, raw: Any) -> None:
        info = raw.info
        self.raw = raw
        self.name = f"{info['device']}, {info['backend_type']}"
        self.kind, self.api = info["adapter_type"], info["backend_type"]
        self.software = self.kind == "CPU"
        self.numbers = int(info["vendor_id"]), int(info["device_id"])  # of PCI


def adapters() -> list[Adapter]:
    """Return the adapters of this machine, hardware first; raises BackendError without wgpu."""
    if _PROCESS["forked"]:
        raise BackendError(FORKED)
    _PROCESS["asked"] = True
    if os.name == "posix":
        os.environ.setdefault("XDG_RUNTIME_DIR", gettempdir())  # without it Mesa writes warnings
    found = _wgpu().gpu.enumerate_adapters_sync()
    order = {"DiscreteGPU": 0, "IntegratedGPU": 1, "Unknown": 2, "CPU": 3}
    usable = [Adapter(a) for a in found if a.info["backend_type"] in APIS]
    return sorted(usable, key=lambda a: (order.get(a.kind, 2), APIS.index(a.api)))


def _explained(method: Callable[A, R]) -> Callable[A, R]:
    """A method whose errors of WebGPU become llmpy's."""

    @wraps(method)
    def call(*args: A.args, **kwargs: A.kwargs) -> R:
        if _PROCESS["forked"]:
            raise BackendError(FORKED)
        try:
            return method(*args, **kwargs)
        except _wgpu().GPUError as error:
            device: Any = args[0]
            raise device.explained(method.__name__, error) from error

    return call


class WgpuDevice:
    """One adapter; kernels are compiled when a program first needs them."""

    def __init__(self, adapter: Adapter) -> None:
        wgpu = _wgpu()
        self.name, self.software = adapter.name, adapter.software
        self.shared = adapter.kind in ("CPU", "IntegratedGPU")  # the processor's memory
        self._numbers = adapter.numbers
        limits = dict(adapter.raw.limits)
        self._device = adapter.raw.request_device_sync(required_limits=limits)
        self._queue = self._device.queue
        self.limit = (
            min(
                self._device.limits["max-storage-buffer-binding-size"],
                self._device.limits["max-buffer-size"],
            )
            & ~255
        )
        self._largest = self._device.limits["max-buffer-size"]
        self.allocated = 0
        self.lost = False
        self._ends: dict[int, Any] = {}  # what is done as buffers end
        self._usage = (
            wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST
        )
        self._uniform = wgpu.BufferUsage.UNIFORM | wgpu.BufferUsage.COPY_DST
        self._native = native() if hasattr(self._device, "_internal") else None
        self._waits = False  # for programs, as all so far were waited for
        self._layouts: dict[str, tuple[Any, Any]] = {}
        self._pipelines: dict[tuple[str, tuple[str, int]], Any] = {}

    @_explained
    def buffer(self, n_bytes: int) -> Buffer:
        """Return zeroed memory; raises OutOfMemory."""
        size = -(-max(4, n_bytes) // 4) * 4
        if size > self._largest:
            raise OutOfMemory(
                f"gpu: a buffer of {self.name} has at most {self._largest} bytes, not {size}"
            )
        buffer = self._device.create_buffer(size=size, usage=self._usage)
        self.allocated += size
        self._ends[id(buffer)] = weakref.finalize(buffer, self._freed, id(buffer), size)
        return buffer

    def free(self, buffer: Buffer) -> None:
        """Destroy a buffer."""
        if not _PROCESS["forked"]:  # it is the parent's
            self._ends[id(buffer)]()
            buffer.destroy()

    @_explained
    def write(self, buffer: Buffer, offset: int, data: Any) -> None:
        """Copy bytes to a buffer."""
        self._queue.write_buffer(buffer, offset, data)

    @_explained
    def read(self, buffer: Buffer, offset: int, n_bytes: int) -> bytes:
        """Wait, and return bytes of a buffer."""
        self._waits = True
        return bytes(self._queue.read_buffer(buffer, offset, n_bytes)) if n_bytes else b""

    @_explained
    def copy(self, source: Buffer, start: int, target: Buffer, to: int, n_bytes: int) -> None:
        """Copy between buffers; inside one through another, as WebGPU has it."""
        if not n_bytes:
            return
        encoder = self._device.create_command_encoder()
        between = source
        if source is target:
            between = self._device.create_buffer(size=n_bytes, usage=self._usage)
            encoder.copy_buffer_to_buffer(source, start, between, 0, n_bytes)
            start = 0
        encoder.copy_buffer_to_buffer(between, start, target, to, n_bytes)
        self._queue.submit([encoder.finish()])

    @_explained
    def program(self, steps: Sequence[Step], header: Buffer, arena: Buffer) -> Program:
        """Write the parameters of all steps, and bind their buffers."""
        size = max(1, len(steps)) * STRIDE
        params = self._device.create_buffer(size=size, usage=self._uniform)
        words = bytearray(size)
        made = []
        for i, step in enumerate(steps):
            kernel = KERNELS[step.kernel]
            values = {"rows": ROWS.index(step.rows), "items": step.items, **step.values}
            kinds = "".join("f" if f in FLOATS else "I" for f in kernel.fields)
            struct.pack_into(f"<{kinds}", words, i * STRIDE, *(values[f] for f in kernel.fields))
            pipeline, layout = self._pipeline(step)
            whole = [header, arena, *(held.buffer for held in step.buffers)]
            entries = [{"binding": 0, "resource": {
                "buffer": params, "offset": i * STRIDE, "size": -(-4 * len(kinds) // 16) * 16,
            }}]  # fmt: skip
            entries += [
                {"binding": j, "resource": {"buffer": b, "offset": 0, "size": b.size}}
                for j, b in enumerate(whole, 1)
            ]
            group = self._device.create_bind_group(layout=layout, entries=entries)
            made.append(Dispatch(pipeline, group, step, kernel.lanes))
        self._queue.write_buffer(params, 0, words)
        return Program(made, self._native)

    @_explained
    def run(self, program: Program, rows: Mapping[str, int]) -> None:
        """Record and submit all steps that have rows.

        A device that waits gets the first quarter while the others are recorded. (Recording them
        before they are asked for would be sooner still, but wgpu-native 29 never frees a command
        buffer that is not submitted.)
        """
        program.set_rows(rows)
        n, waits, self._waits = len(program), self._waits, False
        cuts = [n // 4] if waits and n >= LONG else []
        if rows.get("all", 0) > LONG:
            cuts = list(range(TOGETHER, n, TOGETHER))
        for first, end in pairwise([0, *cuts, n]):
            encoder = self._device.create_command_encoder()
            work = encoder.begin_compute_pass()
            program.record(work, first, end)
            work.end()
            self._queue.submit([encoder.finish()])

    def free_memory(self) -> int | None:
        """Return the free memory: the processor's where they share it, else what drivers tell."""
        return available_memory() if self.shared else free_video_memory(*self._numbers)

    def close(self) -> None:
        """Destroy the device."""
        if _PROCESS["forked"]:
            return
        self._pipelines, self._layouts = {}, {}
        self._device.destroy()

    def _freed(self, number: int, size: int) -> None:
        self.allocated -= size
        self._ends.pop(number, None)

    def explained(self, what: str, error: Exception) -> Exception:
        """The error of llmpy for one of WebGPU in the method `what`."""
        text = " ".join(str(error).split())
        if isinstance(error, MemoryError):
            return OutOfMemory(f"gpu: {self.name} has no memory left: {text}")
        if "lost" in text:
            self.lost = True
            return BackendError(
                f"gpu: {self.name} was lost in {what}: load the model again ({text})"
            )
        return BackendError(f"gpu: {self.name} refused {what}: {text}")

    def _pipeline(self, step: Step) -> tuple[Any, Any]:
        group, layout = self._layout(step.kernel)
        key = step.kernel, step.variant
        if key not in self._pipelines:
            module = self._device.create_shader_module(code=source(*key), label=f"{key}")
            compute = {"module": module, "entry_point": "main"}
            self._pipelines[key] = self._device.create_compute_pipeline(
                layout=layout, compute=compute
            )
        return self._pipelines[key], group

    def _layout(self, kernel: str) -> tuple[Any, Any]:
        if kernel not in self._layouts:
            read, write = "read-only-storage", "storage"
            kinds = ["uniform", read, write]
            kinds += [write if b.endswith("!") else read for b in KERNELS[kernel].buffers]
            entries = [
                {"binding": i, "visibility": 4, "buffer": {"type": kind}}
                for i, kind in enumerate(kinds)
            ]
            group = self._device.create_bind_group_layout(entries=entries)
            whole = self._device.create_pipeline_layout(bind_group_layouts=[group])
            self._layouts[kernel] = group, whole
        return self._layouts[kernel]
