"""The memory bandwidth of this machine now: the limit of generating one token at a time."""

from __future__ import annotations

from llmpy import checks
from llmpy.errors import BackendError
from llmpy.ffi import library

__all__ = ["read_bandwidth"]


def read_bandwidth(n_threads: int, n_bytes: int = 512 << 20, passes: int = 3) -> float:
    """Measure the memory read bandwidth of `n_threads` threads, in bytes per second.

    The best of `passes` is returned. `n_bytes` should be much larger than the CPU caches. Shared
    machines change within minutes, so alternate this with the measurement that it is compared to.
    Raises BackendError without the compiled library or the memory.
    """
    for name, value in (("n_threads", n_threads), ("passes", passes)):
        checks.whole(name, value)
    checks.whole("n_bytes", n_bytes, 1, 2**63 - 1)
    rate: float = library().llmpy_read_bandwidth(n_bytes, n_threads, passes)
    if not rate:
        raise BackendError(
            f"read_bandwidth: cannot allocate {n_bytes} bytes, or start {n_threads} threads"
        )
    return rate
