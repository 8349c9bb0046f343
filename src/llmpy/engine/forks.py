"""os.fork() while other threads compute: no step is running then, and no lock stays held.

The forking thread waits for the step that runs. In the child, which has this thread alone, nobody
waits for an engine; a session that another thread was using stays in use for ever, and says so.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmpy.engine.engine import Engine

__all__ = ["register"]

_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()
_HELD = threading.local()


def register(engine: Engine) -> None:
    """Take care of an engine for as long as it lives."""
    _ENGINES.add(engine)


def _before() -> None:
    _HELD.engines = sorted(_ENGINES, key=id)  # all threads in the same order
    for engine in _HELD.engines:
        engine.lock.acquire()
    for engine in _HELD.engines:
        engine.pool.lock.acquire()


def _release() -> None:
    for engine in _HELD.engines:
        engine.pool.lock.release()
        engine.lock.release()
    _HELD.engines = []


def _in_child() -> None:
    for engine in _HELD.engines:
        engine.waiting.reset()
    _release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_in_child)
