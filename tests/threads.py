"""Work in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


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
    thread.join(60)
    assert not thread.is_alive()
    return found[0]
