"""A namespace of the array API standard and a device: NumPy, PyTorch, JAX, CuPy or MLX.

What the standard leaves open, or a namespace does its own way, is here and nowhere else.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.errors import BackendError
from llmpy.machine.memory import available_memory

__all__ = ["NAMESPACES", "Array", "Space"]

Array = Any  # of the namespace

NAMESPACES = {
    "numpy": "numpy",
    "torch": "array_api_compat.torch",
    "cupy": "array_api_compat.cupy",
    "jax": "jax.numpy",
    "mlx": "mlx.core",
}


class Space:
    """An array namespace `xp` and the device of its arrays (None: the namespace's default)."""

    def __init__(self, name: str = "numpy", device: str | None = None) -> None:
        if name not in NAMESPACES:
            known = ", ".join(NAMESPACES)
            raise ValueError(f"array backend: expected one of {known}, found {name!r}")
        try:
            self.xp: Any = importlib.import_module(NAMESPACES[name])
        except ImportError as error:
            raise BackendError(
                f"the array backend on {name} needs {error.name!r}: "
                f"install {name} and llmpy[array] (array_api_compat)"
            ) from error
        self.name = name
        self.device = _device(name, device)
        self._where = {} if self.device is None else {"device": self.device}

    def array(self, values: NDArray[Any]) -> Array:
        """Copy a NumPy array to the device."""
        if self.name == "mlx":
            return self.xp.array(values)
        return self.xp.asarray(values.copy(), **self._where)

    def full(self, shape: tuple[int, ...], fill: float, dtype: str = "float32") -> Array:
        """Return an array of this shape filled with `fill`."""
        return self.xp.full(shape, fill, dtype=getattr(self.xp, dtype), **self._where)

    def numpy(self, array: Array) -> NDArray[Any]:
        """Copy an array to host memory."""
        if self.name == "torch":
            array = array.cpu().numpy()
        return array.get() if self.name == "cupy" else np.array(array)

    def cast(self, array: Array, like: Array) -> Array:
        """Convert an array to the type of another."""
        if array.dtype == like.dtype:
            return array
        return array.to(like.dtype) if self.name == "torch" else array.astype(like.dtype)

    def put(self, array: Array, index: Any, values: Array) -> Array:
        """Return the array with `values` at `index`; changed in place if the namespace can."""
        if self.name == "jax":
            return array.at[index].set(values)
        array[index] = values
        return array

    def argsort(self, array: Array) -> Array:
        """Return the indices that sort the last axis; equal values stay in order."""
        if self.name == "mlx":
            return self.xp.argsort(array, axis=-1)
        return self.xp.argsort(array, axis=-1, stable=True)

    def available(self) -> int | None:
        """Return the free bytes of the device, None if they are not known."""
        if self.name == "torch" and str(self.device).startswith("cuda"):
            return int(self.xp.cuda.mem_get_info(self.device)[0])
        if self.name == "cupy":
            return int(self.xp.cuda.runtime.memGetInfo()[0])
        if self.name == "jax" and (stats := self.full((1,), 0).device.memory_stats()):
            return int(stats["bytes_limit"] - stats["bytes_in_use"])
        return available_memory()


def _device(name: str, device: str | None) -> Any:
    """The device that a namespace means by the name that users give."""
    if device is None or name == "torch":
        return device
    if name == "cupy":
        return importlib.import_module("cupy").cuda.Device(int(device))
    if name == "jax":
        kind, _, number = device.partition(":")
        return importlib.import_module("jax").devices(kind)[int(number or 0)]
    raise ValueError(f"array backend: {name} has no devices to choose from, found {device!r}")
