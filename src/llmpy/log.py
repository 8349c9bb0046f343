"""The logger "llmpy": silent until a program gives it a handler.

`logging.basicConfig(level="INFO")` shows when models are loaded and closed and when sequences lose
their KV cache to others; "DEBUG" shows each request and step of loading too. With LLMPY_TRACE=1 in
the environment the times of operations are written to standard error when a model is closed.
"""

from __future__ import annotations

import logging
import os

__all__ = ["log", "traces", "write_trace"]

log = logging.getLogger("llmpy")
log.addHandler(logging.NullHandler())


def traces() -> bool:
    """Whether the environment asks for the times of operations."""
    return os.environ.get("LLMPY_TRACE", "") not in ("", "0")


def write_trace(path: object, table: object) -> None:
    """Log the times of the model at `path`; to standard error if no program set up logging."""
    trace = log.getChild("trace")
    if not trace.hasHandlers() or not trace.isEnabledFor(logging.INFO):
        trace.addHandler(logging.StreamHandler())
        trace.setLevel(logging.INFO)
        trace.propagate = False
    trace.info("%s\n%s", path, table)
