"""The tensors of a file by their names: the attribute path is the GGUF name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmpy.errors import GraphError
from llmpy.graph.shapes import Shape

__all__ = ["Weights"]


@dataclass(frozen=True)
class Weights:
    """A name in the file, or the beginning of one: `w.blk[0].attn_q` is "blk.0.attn_q".

    It is true where the file has a tensor `<name>.weight`.
    """

    shapes: Mapping[str, Shape]
    name: str = ""
    n_blocks: int = 0

    def __getattr__(self, part: str) -> Any:
        if part.startswith("_"):
            raise AttributeError(part)
        if part == "blk" and not self.name:
            return [replace(self, name=f"blk.{i}") for i in range(self.n_blocks)]
        return replace(self, name=f"{self.name}.{part}" if self.name else part)

    def __bool__(self) -> bool:
        return f"{self.name}.weight" in self.shapes

    def tensor(self, kind: str = "weight") -> str:
        """The full name of its tensor, which must exist; a few have no `kind` at their end."""
        full = f"{self.name}.{kind}" if kind else self.name
        if full not in self.shapes:
            raise GraphError(f"tensor {full!r} is missing from the file")
        return full

    def with_bias(self) -> tuple[str, ...]:
        """Weight and, where the file has one, bias."""
        bias = f"{self.name}.bias"
        return (self.tensor(), bias) if bias in self.shapes else (self.tensor(),)
