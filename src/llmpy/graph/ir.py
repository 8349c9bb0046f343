"""What an architecture's `forward` leaves behind: a flat list of coarse nodes.

`Value` stands for one array [T, ...] while `forward` runs once over names and shapes; its methods
are the operations. `Weights` are the tensors' names as attributes. Nothing here computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llmpy.errors import GraphError
from llmpy.graph.ops import OPS, Shape
from llmpy.graph.rope import Rope

__all__ = ["Cache", "Graph", "Node", "Value", "Weights"]


@dataclass(frozen=True)
class Node:
    """One operation: `inputs` are indices of earlier nodes, `weights` are tensor names.

    `shape` is that of one token. `rows` says for which tokens it is computed: "all", or "wanted",
    those whose logits are asked for.
    """

    op: str
    inputs: tuple[int, ...]
    weights: tuple[str, ...]
    attrs: Mapping[str, Any]
    shape: Shape
    rows: str = "all"


@dataclass(frozen=True)
class Cache:
    """What each session remembers a token: the array of node `node`, of `shape` a token."""

    name: str
    node: int
    shape: Shape


@dataclass
class Graph:
    """Nodes in the order of computation, what sessions remember, and the node of the logits."""

    shapes: Mapping[str, Shape]  # of every tensor that the file has, by full name
    nodes: list[Node] = field(default_factory=list)
    caches: list[Cache] = field(default_factory=list)
    output: int = -1
    used: dict[str, set[str]] = field(default_factory=dict)  # tensor name -> operations reading it

    def add(
        self, op: str, inputs: tuple[int, ...], weights: tuple[str, ...] = (), **attrs: Any
    ) -> Value:
        """Append a node; its shape follows from the operation table."""
        if -1 in inputs:
            raise GraphError(f"{op}: token ids are no numbers; embed them first")
        rule = OPS[op].rule
        try:
            shape = rule(
                [self.nodes[i].shape for i in inputs], [self.shapes[w] for w in weights], attrs
            )
        except GraphError as error:
            at = f" with {' and '.join(repr(w) for w in weights)}" if weights else ""
            raise GraphError(f"{op}{at}: {error}") from None
        for name in weights:
            self.used.setdefault(name, set()).add(op)
        self.nodes.append(Node(op, inputs, weights, attrs, shape))
        return Value(self, len(self.nodes) - 1)

    def tokens(self) -> Value:
        """The token ids of the batch, ready to be embedded."""
        return Value(self, -1)

    @property
    def n_vocab(self) -> int:
        """Width of the logits."""
        return self.nodes[self.output].shape[0]


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
        """The full name of its tensor, which must exist."""
        full = f"{self.name}.{kind}"
        if full not in self.shapes:
            raise GraphError(f"tensor {full!r} is missing from the file")
        return full

    def with_bias(self) -> tuple[str, ...]:
        """Weight and, where the file has one, bias."""
        bias = f"{self.name}.bias"
        return (self.tensor(), bias) if bias in self.shapes else (self.tensor(),)


@dataclass(frozen=True, eq=False)
class Value:
    """One array [T, *shape] of the graph; its methods append operations and give their results."""

    graph: Graph
    index: int

    @property
    def shape(self) -> Shape:
        """Shape of one token's part."""
        return self.graph.nodes[self.index].shape

    def embed(self, w: Weights) -> Value:
        """Row of the table for each token: [T] -> [T, n_embd]."""
        if self.index != -1:
            raise GraphError("embed: only the token ids of the batch can be embedded")
        return self.graph.add("embed", (), (w.tensor(),))

    def rms_norm(self, w: Weights, eps: float) -> Value:
        """Root-mean-square norm over the last axis, times the weight (Zhang & Sennrich 2019)."""
        return self.graph.add("rms_norm", (self.index,), (w.tensor(),), eps=eps)

    def linear(self, w: Weights) -> Value:
        """Product with a matrix [n_out, n_in], plus its bias where the file has one."""
        return self.graph.add("linear", (self.index,), w.with_bias())

    def heads(self, n: int) -> Value:
        """The same values seen as `n` heads: [T, n * d] -> [T, n, d]."""
        return self.graph.add("heads", (self.index,), n=n)

    def rope(self, rope: Rope, factors: Weights | None = None) -> Value:
        """Rotary position embedding; `factors` [n_dims / 2] divide the frequencies (Llama 3)."""
        weights = (factors.tensor(),) if factors else ()
        return self.graph.add("rope", (self.index,), weights, rope=rope)

    def cached(self) -> Value:
        """This value for this token and for everything its session said before."""
        result = self.graph.add("cached", (self.index,), index=len(self.graph.caches))
        self.graph.caches.append(Cache(f"cache.{len(self.graph.caches)}", result.index, self.shape))
        return result

    def attend(self, k: Value, v: Value, *, scale: float | None = None, window: int = 0) -> Value:
        """Causal attention of queries [T, n_head, d] over cached keys and values.

        Query heads share key heads in equal groups. `scale` is 1/sqrt(d) by default; a `window`
        of n lets a token see itself and the n - 1 before it. Gives [T, n_head * d_value].
        """
        for side in (k, v):
            if self.graph.nodes[side.index].op != "cached":
                raise GraphError("attend: keys and values must be cached()")
        scale = self.shape[-1] ** -0.5 if scale is None else scale
        inputs = (self.index, k.index, v.index)
        return self.graph.add("attend", inputs, scale=scale, window=window)

    def silu(self) -> Value:
        """x * sigmoid(x)."""
        return self.graph.add("silu", (self.index,))

    def scale(self, factor: float) -> Value:
        """Each value times a constant."""
        return self.graph.add("scale", (self.index,), factor=factor)

    def mixture(self, router: Value, gate: Weights, up: Weights, down: Weights, n: int) -> Value:
        """Mixture of gated feed-forwards: the `n` experts that `router` [T, n_expert] likes best,

        weighted by the softmax of their scores among themselves (Mixtral, Jiang et al. 2024).
        """
        weights = (gate.tensor(), up.tensor(), down.tensor())
        return self.graph.add("mixture", (self.index, router.index), weights, n_used=n)

    def __add__(self, other: Value) -> Value:
        return self.graph.add("add", (self.index, other.index))

    def __mul__(self, other: Value) -> Value:
        return self.graph.add("mul", (self.index, other.index))

    def __iter__(self) -> Iterator[Value]:
        raise TypeError("a Value stands for an array whose numbers are not known yet")
