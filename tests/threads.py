"""Work in threads of its own."""

from __future__ import annotations

import faulthandler
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["finish", "in_thread"]


def finish(*threads: threading.Thread, seconds: int = 60) -> None:
    """Wait for their ends; fail after so many seconds, and show where all threads are.

    The seconds are waited one by one: a process that was stopped meanwhile has lost one of them.
    """
    for thread in threads:
        for _ in range(seconds):
            thread.join(1)
            if not thread.is_alive():
                break
        else:
            faulthandler.dump_traceback(sys.__stderr__)
            raise AssertionError(f"{thread.name} did not end within {seconds} s")


def in_thread(work: Callable[[], Any]) -> Any:
    """What it returns, or raises, in a thread of its own."""
    found: list[Any] = []

    def go() -> None:
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    finish(thread)
    return found[0]
