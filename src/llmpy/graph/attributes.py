"""Attributes of operations, beside inputs and weights: a class for each that is told something.

The operation table says which class belongs to which operation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from llmpy.graph.rope import Rope

__all__ = [
    "NOTHING", "Attend", "Attributes", "Cached", "Clamp", "EmbedPosition", "EmbedRow", "Gate",
    "Heads", "Moe", "Norm", "Recurrent", "Rotate", "Route", "Scale", "Slice",
]  # fmt: skip


@dataclass(frozen=True)
class Attributes:
    """Those of an operation that is told nothing, and the base of all others."""

    def told(self) -> dict[str, Any]:
        """Return the fields by name, without those that are as usual."""
        values = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}
        return {name: value for name, (value, usual) in values.items() if value != usual}


NOTHING = Attributes()


@dataclass(frozen=True)
class EmbedPosition(Attributes):
    """The row of position 0."""

    offset: int


@dataclass(frozen=True)
class EmbedRow(Attributes):
    """The row of every token."""

    row: int


@dataclass(frozen=True)
class Norm(Attributes):
    """The number that is added to the mean of squares."""

    eps: float


@dataclass(frozen=True)
class Heads(Attributes):
    """The number of heads of the result."""

    n: int


@dataclass(frozen=True)
class Slice(Attributes):
    """The values of the last axis that are taken."""

    start: int
    size: int


@dataclass(frozen=True)
class Rotate(Attributes):
    """The angles, by position."""

    rope: Rope


@dataclass(frozen=True)
class Cached(Attributes):
    """The number of the cache in the graph."""

    index: int


@dataclass(frozen=True)
class Attend(Attributes):
    """See `Value.attend`; `caches`: those of keys and of values, known when the graph is whole."""

    scale: float
    window: int
    causal: bool = True
    alibi: float = 0.0
    softcap: float = 0.0
    caches: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scale(Attributes):
    """The factor of every value."""

    factor: float


@dataclass(frozen=True)
class Clamp(Attributes):
    """The limits of every value."""

    low: float
    high: float


@dataclass(frozen=True)
class Route(Attributes):
    """See `Value.route`."""

    n_used: int
    gating: str
    normalize: bool
    factor: float
    n_group: int
    n_group_used: int


@dataclass(frozen=True)
class Moe(Attributes):
    """See `Value.moe`."""

    n_used: int
    activation: str


@dataclass(frozen=True)
class Recurrent(Attributes):
    """The first of its recurrences in the graph."""

    state: int


@dataclass(frozen=True)
class Gate(Attributes):
    """The elementwise operation that is applied before the product."""

    function: str
