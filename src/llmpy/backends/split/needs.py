"""The memory that layers need where they lie, and what it is together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmpy.backends.base import PAGE_TOKENS, Requirements
from llmpy.errors import OutOfMemory
from llmpy.graph import layers_text
from llmpy.machine.memory import readable_bytes

__all__ = ["SLACK", "PartNeeds", "together", "too_little"]

SLACK = 1 << 15  # bytes of a device for many small things


class PartNeeds(NamedTuple):
    """The needs of a backend for its layers, from `first` to `end`, the latter not included.

    `step`: bytes of activations of the largest step.
    """

    name: str
    first: int
    end: int
    needs: Requirements
    step: int


def together(parts: Sequence[Requirements]) -> Requirements:
    """Return the needs of all parts; `available` is as much as lets the tightest one be full."""
    weights, page, recurrent, windowed = (
        sum(getattr(part, name) for part in parts)
        for name in ("weights", "page", "recurrent", "windowed")
    )
    whole = Requirements(
        weights, page, recurrent, None, windowed, max(part.window for part in parts)
    )
    known = [part for part in parts if part.available is not None]
    limits = [
        part.most_tokens(max(0, (part.available or 0) - part.weights - part.recurrent))
        for part in known
        if part.page or part.windowed
    ]
    if not limits:
        free = sum(part.available or 0 for part in known)
        return whole._replace(available=free if len(known) == len(parts) else None)
    return whole._replace(available=weights + recurrent + whole.cache_bytes(min(limits)))


def too_little(part: PartNeeds) -> OutOfMemory | None:
    """Return the error about layers whose memory does not hold them and a page; None if it does."""
    needs, free = part.needs, part.needs.available or 0
    page = needs.cache_bytes(PAGE_TOKENS) + needs.recurrent
    needed = needs.weights + page + part.step + SLACK
    if needed <= free:
        return None
    parts = {"weights": needs.weights, "activations": part.step, f"{PAGE_TOKENS} tokens": page}
    sizes = ", ".join(f"{name} {readable_bytes(n)}" for name, n in parts.items() if n)
    return OutOfMemory(
        f"device_memory: {layers_text(part.first, part.end)} on {part.name} need "
        f"{readable_bytes(needed)} ({sizes}), and may take {readable_bytes(free)}: without "
        "n_gpu_layers, as many layers go there as fit",
        needed=needed,
        free=free,
    )
