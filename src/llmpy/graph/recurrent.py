"""Operations with a memory: what they compute depends on all tokens that their session read before.

The memory of each is an array a session, which every token changes: it can be copied, but not cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmpy.graph.shapes import Shape
from llmpy.graph.weights import Weights

if TYPE_CHECKING:
    from llmpy.graph.ir import Graph, Value

__all__ = ["Recurrence", "RecurrentOperations"]


@dataclass(frozen=True)
class Recurrence:
    """A recurrent state of each session: an array of `shape`, at first full of `fill`."""

    name: str
    shape: Shape
    fill: float = 0.0


class RecurrentOperations:
    """The methods of `Value` that have a memory."""

    graph: Graph
    index: int

    def previous(self) -> Value:
        """The value of the token before, 0 for the first one of a session (token shift)."""
        return self._remember("previous", (), (), [(self._shape, 0.0)])

    def conv(self, w: Weights) -> Value:
        """Causal convolution over tokens, each value by itself: [T, n], w [n, width].

        The last column of w meets the token itself; before the first token lie zeros. Plus its
        bias where the file has one.
        """
        weights = w.with_bias()
        width = self.graph.shapes[weights[0]][-1]
        return self._remember("conv", (), weights, [((width - 1, *self._shape), 0.0)])

    def scan(self, dt: Value, b: Value, c: Value, a: Weights, d: Weights) -> Value:
        """Selective state space (Gu & Dao 2023; Dao & Gu 2024).

        x [T, h, d], steps `dt` [T, h], `b` and `c` [T, g, n], of which h / g heads share one; the
        tensors `a` [h, n] or [h, 1], negative, and `d` [h, ...]. For each head, with S [d, n]:
        S = exp(dt a) S + dt x b^T, and y = S c + d x.
        """
        weights = (a.tensor(""), d.tensor(""))
        state = (*self._shape, b.shape[-1])
        return self._remember("scan", (dt, b, c), weights, [(state, 0.0)])

    def delta_rule(self, w: Value, k: Value, v: Value, a: Value, b: Value) -> Value:
        """Linear attention whose memory forgets and corrects itself (Peng et al. 2025).

        x, `k`, `a`, `b` [T, h, d_k], decay `w` [T, h, d_k] or [T, h, 1], `v` [T, h, d_v]. For each
        head, with S [d_v, d_k]: S = S diag(w) + (S a) b^T + v k^T, and y = S x. With decay g,
        strength s, unit keys k, a = k, b = -s g k and values s v it is the gated delta rule
        (Yang et al. 2025).
        """
        state = (v.shape[0], v.shape[-1], self._shape[-1])
        return self._remember("delta_rule", (w, k, v, a, b), (), [(state, 0.0)])

    def wkv4(self, v: Value, first: Weights, decay: Weights) -> Value:
        """Mean of all values `v` [T, n], weighted by exp of the keys x [T, n] (Peng et al. 2023).

        Each token takes `decay` [n], negative, from the keys of those before; `first` [n] is added
        to its own key for itself. Computed with the largest exponent so far factored out.
        """
        weights = (decay.tensor(), first.tensor())
        state = [(self._shape, 0.0), (self._shape, 0.0), (self._shape, -1e30)]
        return self._remember("wkv4", (v,), weights, state)

    @property
    def _shape(self) -> Shape:
        return self.graph.nodes[self.index].shape

    def _remember(
        self, op: str, others: tuple[Value, ...], weights: tuple[str, ...], state: list[Any]
    ) -> Value:
        """The operation, with memory of these shapes and fills."""
        known = self.graph.recurrences
        inputs = (self.index, *(other.index for other in others))
        result = self.graph.add(op, inputs, weights, state=len(known))
        for shape, fill in state:
            known.append(Recurrence(f"state.{len(known)}", shape, fill))
        return result
