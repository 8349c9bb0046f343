"""The graph that an architecture's `forward` traces: a flat list of coarse nodes.

`Value` stands for one array [T, ...] while `forward` runs once over names and shapes; its methods
are the operations. Nothing here computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmpy.errors import GraphError
from llmpy.graph import attributes as at
from llmpy.graph.ops import EMBED, OPS, Shape
from llmpy.graph.rope import Rope
from llmpy.graph.weights import Weights

__all__ = ["Cache", "Graph", "Node", "Recurrence", "Value"]


@dataclass(frozen=True)
class Node:
    """One operation: `inputs` are indices of earlier nodes, `weights` are tensor names.

    `attrs` is what else it is told (`attributes.py`), `shape` that of one token. `rows` says for
    which tokens it is computed: "all", or "output", those whose logits are asked for.
    """

    op: str
    inputs: tuple[int, ...]
    weights: tuple[str, ...]
    attrs: Any  # of the class that the operation table says
    shape: Shape
    rows: str = "all"


@dataclass(frozen=True)
class Cache:
    """An array that each session stores a token: that of node `node`, of `shape` a token."""

    name: str
    node: int
    shape: Shape


@dataclass(frozen=True)
class Recurrence:
    """A recurrent state of each session: an array of `shape`, at first full of `fill`."""

    name: str
    shape: Shape
    fill: float = 0.0


@dataclass
class Graph:
    """Nodes in the order of computation, what sessions remember, and the node of the logits."""

    shapes: Mapping[str, Shape]  # of every tensor that the file has, by full name
    n_ctx: int = 0  # tokens that a session will hold
    nodes: list[Node] = field(default_factory=list)
    caches: list[Cache] = field(default_factory=list)
    recurrences: list[Recurrence] = field(default_factory=list)
    output: int = -1
    used: dict[str, set[str]] = field(default_factory=dict)  # tensor name -> operations reading it

    def add(
        self, op: str, inputs: tuple[int, ...], weights: tuple[str, ...] = (),
        attrs: at.Attributes = at.NOTHING,
    ) -> Value:  # fmt: skip
        """Append a node; its shape follows from the operation table."""
        known, given = OPS[op], [self.nodes[i].shape for i in inputs]
        assert type(attrs) is known.attributes, f"{op}: {attrs}"
        if () in given and op not in EMBED:
            raise GraphError(f"{op}: token ids are no numbers; embed them first")
        try:
            shape = known.rule(given, [self.shapes[w] for w in weights], attrs)
        except GraphError as error:
            names = f" with {' and '.join(repr(w) for w in weights)}" if weights else ""
            raise GraphError(f"{op}{names}: {error}") from None
        for name in weights:
            self.used.setdefault(name, set()).add(op)
        self.nodes.append(Node(op, inputs, weights, attrs, shape))
        return Value(self, len(self.nodes) - 1)

    def tensor(self, name: str) -> str:
        """This full name of a tensor, which must exist."""
        if name not in self.shapes:
            raise GraphError(f"tensor {name!r} is missing from the file")
        return name

    def tokens(self) -> Value:
        """The token ids of the batch, ready to be embedded: the input of the graph."""
        for i, node in enumerate(self.nodes):
            if node.op == "tokens":
                return Value(self, i)
        return self.add("tokens", ())

    @property
    def n_vocab(self) -> int:
        """Width of the logits."""
        return self.nodes[self.output].shape[0]


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
        return self.graph.add("embed", (self.index,), (w.tensor(),))

    def embed_position(self, w: Weights, offset: int = 0) -> Value:
        """Row of the table for each token's position, the first of which is `offset`."""
        return self.graph.add(
            "embed_position", (self.index,), (w.tensor(),), at.EmbedPosition(offset)
        )

    def embed_row(self, w: Weights, row: int = 0) -> Value:
        """The same row of the table for every token."""
        return self.graph.add("embed_row", (self.index,), (w.tensor(),), at.EmbedRow(row))

    def rms_norm(self, w: Weights | None, eps: float) -> Value:
        """Root-mean-square norm over the last axis, times the weight (Zhang & Sennrich 2019)."""
        weights = () if w is None else (w.tensor(),)
        return self.graph.add("rms_norm", (self.index,), weights, at.Norm(eps))

    def layer_norm(self, w: Weights | None, eps: float) -> Value:
        """Norm to mean 0 and variance 1 over the last axis, times the weight, plus the bias if

        the file has one (Ba et al. 2016).
        """
        weights = () if w is None else w.with_bias()
        return self.graph.add("layer_norm", (self.index,), weights, at.Norm(eps))

    def linear(self, w: Weights) -> Value:
        """Product with a matrix [n_out, n_in], plus its bias where the file has one."""
        return self.graph.add("linear", (self.index,), w.with_bias())

    def linear_heads(self, w: Weights) -> Value:
        """Product of each head with a matrix of its own: [T, h, n_in], w [h, n_out, n_in]."""
        return self.graph.add("linear_heads", (self.index,), (w.tensor(),))

    def heads(self, n: int) -> Value:
        """The same values seen as `n` heads: [T, n * d] -> [T, n, d]."""
        return self.graph.add("heads", (self.index,), attrs=at.Heads(n))

    def flatten(self) -> Value:
        """The same values seen as one vector: [T, n, d] -> [T, n * d]."""
        return self.graph.add("flatten", (self.index,))

    def slice(self, start: int, size: int) -> Value:
        """`size` values of the last axis from `start` on."""
        return self.graph.add("slice", (self.index,), attrs=at.Slice(start, size))

    def split(self, *sizes: int) -> list[Value]:
        """The last axis cut into pieces of these sizes, which must be all of it."""
        if sum(sizes) != self.shape[-1]:
            raise GraphError(f"{self.shape[-1]} values cannot be split into {sizes}")
        return [self.slice(sum(sizes[:i]), size) for i, size in enumerate(sizes)]

    def concat(self, other: Value) -> Value:
        """This and the other side by side on the last axis."""
        return self.graph.add("concat", (self.index, other.index))

    def repeat(self, n: int) -> Value:
        """Each head several times, one after another, until there are `n`."""
        return self.graph.add("repeat", (self.index,), attrs=at.Heads(n))

    def rope(self, rope: Rope, factors: Weights | None = None) -> Value:
        """Rotary position embedding; `factors` [n_dims / 2] divide the frequencies (Llama 3)."""
        weights = (factors.tensor(),) if factors else ()
        return self.graph.add("rope", (self.index,), weights, at.Rotate(rope))

    def cached(self) -> Value:
        """This value for this token and for all tokens of its sequence before it."""
        result = self.graph.add("cached", (self.index,), attrs=at.Cached(len(self.graph.caches)))
        self.graph.caches.append(Cache(f"cache.{len(self.graph.caches)}", result.index, self.shape))
        return result

    def attend(
        self,
        k: Value,
        v: Value,
        *,
        scale: float | None = None,
        window: int = 0,
        causal: bool = True,
        alibi: float = 0.0,
        softcap: float = 0.0,
        sinks: Weights | None = None,
    ) -> Value:
        """Attention of queries [T, n_head, d] over cached keys and values.

        Query heads share key heads in equal groups. `scale` is 1/sqrt(d) by default; a `window`
        of n lets a token see itself and the n - 1 before it. `causal=False`: a token sees all
        tokens of its session, or with a window those up to window // 2 away; all must be in one
        batch. `alibi`: the largest bias of ALiBi (Press et al. 2022). `softcap`: scores become
        softcap * tanh(score / softcap). `sinks` [n_head]: one more score for each head, of a token
        that has no value. Gives [T, n_head * d_value].
        """
        for side in (k, v):
            if self.graph.nodes[side.index].op != "cached":
                raise GraphError("attend: keys and values must be cached()")
        scale = self.shape[-1] ** -0.5 if scale is None else scale
        attrs = at.Attend(scale, window, causal, alibi, softcap)
        weights = (sinks.tensor(),) if sinks is not None else ()
        inputs = (self.index, k.index, v.index)
        return self.graph.add("attend", inputs, weights, attrs)

    def silu(self) -> Value:
        """x * sigmoid(x)."""
        return self.graph.add("silu", (self.index,))

    def gelu(self) -> Value:
        """Gaussian error linear unit, by tanh (Hendrycks & Gimpel 2016)."""
        return self.graph.add("gelu", (self.index,))

    def gelu_exact(self) -> Value:
        """Gaussian error linear unit, by erf."""
        return self.graph.add("gelu_exact", (self.index,))

    def relu(self) -> Value:
        """The positive part."""
        return self.graph.add("relu", (self.index,))

    def sigmoid(self) -> Value:
        """1 / (1 + exp(-x))."""
        return self.graph.add("sigmoid", (self.index,))

    def tanh(self) -> Value:
        """Hyperbolic tangent."""
        return self.graph.add("tanh", (self.index,))

    def exp(self) -> Value:
        """e to the power of x."""
        return self.graph.add("exp", (self.index,))

    def softplus(self) -> Value:
        """log(1 + exp(x))."""
        return self.graph.add("softplus", (self.index,))

    def scale(self, factor: float) -> Value:
        """Each value times a constant; by 1 nothing changes."""
        return (
            self
            if factor == 1.0
            else self.graph.add("scale", (self.index,), attrs=at.Scale(factor))
        )

    def sum(self) -> Value:
        """The sum over the last axis: [T, ..., n] -> [T, ..., 1]."""
        return self.graph.add("sum", (self.index,))

    def clamp(self, low: float, high: float) -> Value:
        """Each value brought between `low` and `high`."""
        return self.graph.add("clamp", (self.index,), attrs=at.Clamp(low, high))

    def softcap(self, cap: float) -> Value:
        """cap * tanh(x / cap): nothing beyond cap; unchanged where cap is 0."""
        return self.scale(1.0 / cap).tanh().scale(cap) if cap else self

    def add(self, w: Weights, kind: str = "weight") -> Value:
        """Plus a tensor of the shape of the last axes; `kind` is the end of its name."""
        return self.graph.add("add_weight", (self.index,), (w.tensor(kind),))

    def mul(self, w: Weights, kind: str = "weight") -> Value:
        """Times a tensor of the shape of the last axes; `kind` is the end of its name."""
        return self.graph.add("mul_weight", (self.index,), (w.tensor(kind),))

    def route(
        self,
        n_used: int,
        *,
        gating: str = "softmax",
        normalize: bool = True,
        factor: float = 1.0,
        bias: str = "",
        groups: tuple[int, int] = (1, 1),
    ) -> Value:
        """Turn scores [T, n_expert] into router weights, 0 for all but the `n_used` best experts.

        Weights are softmax or sigmoid of the scores, `normalize`d to a sum of 1 or not, times
        `factor`. The largest are chosen, after `bias` (a tensor's full name) is added for the
        choice only; with `groups` (n, n_used) out of the best groups only, which are judged by
        their best expert, or with a bias by the sum of the best two (DeepSeek-AI 2024).
        "sparsemixer" is the routing of Phi-3.5-MoE.
        """
        weights = (self.graph.tensor(bias),) if bias else ()
        attrs = at.Route(n_used, gating, normalize, factor, *groups)
        return self.graph.add("route", (self.index,), weights, attrs)

    def moe(
        self,
        router_weights: Value,
        gate: Weights,
        up: Weights,
        down: Weights,
        n_used: int,
        activation: str = "silu",
    ) -> Value:
        """Sum the `n_used` feed-forwards of the largest `router_weights` [T, n_expert], weighted.

        See Shazeer et al. 2017. Biases are added where the file has them for all
        three matrices.
        """
        weights = [part.tensor() for part in (gate, up, down)]
        if all(f"{part.name}.bias" in self.graph.shapes for part in (gate, up, down)):
            weights += [part.tensor("bias") for part in (gate, up, down)]
        inputs = (self.index, router_weights.index)
        return self.graph.add("moe", inputs, tuple(weights), at.Moe(n_used, activation))

    def previous(self) -> Value:
        """The value of the token before, 0 for the first one of a session (token shift)."""
        return self._remember("previous", (), (), [(self.shape, 0.0)])

    def conv(self, w: Weights) -> Value:
        """Causal convolution over tokens, each value by itself: [T, n], w [n, width].

        The last column of w meets the token itself; before the first token lie zeros. Plus its
        bias where the file has one.
        """
        weights = w.with_bias()
        width = self.graph.shapes[weights[0]][-1]
        return self._remember("conv", (), weights, [((width - 1, *self.shape), 0.0)])

    def scan(self, dt: Value, b: Value, c: Value, a: Weights, d: Weights) -> Value:
        """Selective state space (Gu & Dao 2023; Dao & Gu 2024).

        x [T, h, d], steps `dt` [T, h], `b` and `c` [T, g, n], of which h / g heads share one; the
        tensors `a` [h, n] or [h, 1], negative, and `d` [h, ...]. For each head, with S [d, n]:
        S = exp(dt a) S + dt x b^T, and y = S c + d x.
        """
        weights = (a.tensor(""), d.tensor(""))
        state = (*self.shape, b.shape[-1])
        return self._remember("scan", (dt, b, c), weights, [(state, 0.0)])

    def delta_rule(self, w: Value, k: Value, v: Value, a: Value, b: Value) -> Value:
        """Linear attention whose memory forgets and corrects itself (Peng et al. 2025).

        x, `k`, `a`, `b` [T, h, d_k], decay `w` [T, h, d_k] or [T, h, 1], `v` [T, h, d_v]. For each
        head, with S [d_v, d_k]: S = S diag(w) + (S a) b^T + v k^T, and y = S x. With decay g,
        strength s, unit keys k, a = k, b = -s g k and values s v it is the gated delta rule
        (Yang et al. 2025).
        """
        state = (v.shape[0], v.shape[-1], self.shape[-1])
        return self._remember("delta_rule", (w, k, v, a, b), (), [(state, 0.0)])

    def wkv4(self, v: Value, first: Weights, decay: Weights) -> Value:
        """Mean of all values `v` [T, n], weighted by exp of the keys x [T, n] (Peng et al. 2023).

        Each token takes `decay` [n], negative, from the keys of those before; `first` [n] is added
        to its own key for itself. Computed with the largest exponent so far factored out.
        """
        weights = (decay.tensor(), first.tensor())
        state = [(self.shape, 0.0), (self.shape, 0.0), (self.shape, -1e30)]
        return self._remember("wkv4", (v,), weights, state)

    def _remember(
        self, op: str, others: tuple[Value, ...], weights: tuple[str, ...], state: list[Any]
    ) -> Value:
        """The operation, with memory of these shapes and fills."""
        known = self.graph.recurrences
        inputs = (self.index, *(other.index for other in others))
        result = self.graph.add(op, inputs, weights, at.Recurrent(len(known)))
        for shape, fill in state:
            known.append(Recurrence(f"state.{len(known)}", shape, fill))
        return result

    def __sub__(self, other: Value) -> Value:
        return self + other.scale(-1.0)

    def __add__(self, other: Value) -> Value:
        return self.graph.add("add", (self.index, other.index))

    def __mul__(self, other: Value) -> Value:
        return self.graph.add("mul", (self.index, other.index))

    def __iter__(self) -> Iterator[Value]:
        raise TypeError("a Value stands for an array whose numbers are not known yet")
