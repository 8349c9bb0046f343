"""A device of which a model takes so many bytes, and no more."""

from __future__ import annotations

import weakref
from typing import Any

from llmpy.backends.gpu.device import Buffer
from llmpy.errors import OutOfMemory
from llmpy.machine.memory import readable_bytes

__all__ = ["Budget"]


class Budget:
    """A `Device` that is another one, but for the `most` bytes that its buffers may take.

    `allocated` are those of its own buffers.
    """

    def __init__(self, device: Any, most: int) -> None:
        self.device, self.most = device, most
        self.allocated = 0
        self._ends: dict[int, Any] = {}  # what is done as buffers end

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def buffer(self, n_bytes: int) -> Buffer:
        """Return new memory; raises OutOfMemory beyond the budget too."""
        if self.allocated + n_bytes > self.most:
            raise OutOfMemory(
                f"device_memory: {readable_bytes(n_bytes)} more were needed on {self.device.name}, "
                f"where {readable_bytes(self.allocated)} of {readable_bytes(self.most)} are taken"
            )
        buffer = self.device.buffer(n_bytes)
        self.allocated += n_bytes
        self._ends[id(buffer)] = weakref.finalize(buffer, self._freed, id(buffer), n_bytes)
        return buffer

    def free(self, buffer: Buffer) -> None:
        """Free a buffer."""
        self._ends[id(buffer)]()
        self.device.free(buffer)

    def free_memory(self) -> int:
        """Return the bytes that are left."""
        return self.most - self.allocated

    def _freed(self, number: int, size: int) -> None:
        self.allocated -= size
        self._ends.pop(number, None)
