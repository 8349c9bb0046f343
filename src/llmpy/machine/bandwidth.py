"""How fast this machine reads memory now: the limit of generating one token at a time."""

from __future__ import annotations

from llmpy import checks
from llmpy.errors import BackendError
from llmpy.ffi import library

__all__ = ["read_bandwidth"]


def read_bandwidth(n_threads: int, n_bytes: int = 512 << 20, passes: int = 3) -> float:
    """Bytes a second that `n_threads` threads read together, the best of `passes`.

    `n_bytes` should be far more than the caches hold. Shared machines change within minutes, so
    measure this in turns with what is compared to it. Raises BackendError without the compiled part
    or the memory.
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
