"""Lowering of rotary embeddings and attention: which tables there are, and where caches lie."""

from __future__ import annotations

from collections.abc import Callable

from llmpy.backends.cpu.kv import caches_of, page_layout
from llmpy.backends.cpu.lower.emitted import Emitted
from llmpy.backends.cpu.lower.program import Op
from llmpy.errors import BackendError
from llmpy.ffi.abi import NO_PLACE, OpKind
from llmpy.graph import Node
from llmpy.graph.rope import alibi_slopes

__all__ = ["ATTENTION"]


def rope(work: Emitted, i: int, node: Node) -> None:
    """By a table of cosines and sines, shared by all that turn alike."""
    x, (heads, width), spec = work.of(node.inputs[0]), node.shape, node.attrs["rope"]
    factors = node.weights[0] if node.weights else ""
    key = (spec, factors, work.tensors[factors] if factors else None)
    if key[:2] not in [known[:2] for known in work.ropes]:
        work.ropes.append(key)
    table = [known[:2] for known in work.ropes].index(key[:2])
    n = (heads, width, spec.n_dims // 2, int(spec.neox), table)
    work.emit(i, Op(OpKind.ROPE, node.rows, x, n=n, in_place=(x,)))


def cached(work: Emitted, _: int, node: Node) -> None:
    """Rows to the pages."""
    if len(node.shape) != 2:
        raise BackendError(f"the cpu backend cannot cache arrays of shape {node.shape}")
    layout = page_layout(work.graph, work.kv_dtype)
    cache = node.attrs["index"]
    places = (layout.keys.get(cache, NO_PLACE), layout.values.get(cache, NO_PLACE))
    x, table = work.of(node.inputs[0]), int(cache in layout.windows.caches)
    work.ops.append(Op(OpKind.CACHED, node.rows, x, n=(*node.shape, *places), w=(0, 0, table)))


def attend(work: Emitted, i: int, node: Node) -> None:
    """Over the pages."""
    q, k, v = (work.graph.nodes[j] for j in node.inputs)
    (n_head, d_key), n_kv, a = q.shape, k.shape[0], node.attrs
    layout = page_layout(work.graph, work.kv_dtype)
    key, value = caches_of(work.graph, node)
    n = (
        *(n_head, n_kv, d_key, v.shape[1], layout.keys[key], layout.values[value], a["window"]),
        int(a.get("causal", True)),
    )
    alibi = a.get("alibi", 0.0)
    slopes = work.constant(alibi_slopes(n_head, alibi)) if alibi else 0
    sinks = work.floats(node.weights[0]) if node.weights else 0
    f = (a["scale"], a.get("softcap", 0.0))
    x, table = work.of(node.inputs[0]), int(key in layout.windows.caches)
    work.emit(i, Op(OpKind.ATTEND, node.rows, x, n=n, f=f, w=(slopes, sinks, table)))


ATTENTION: dict[str, Callable[[Emitted, int, Node], None]] = {
    "rope": rope,
    "cached": cached,
    "attend": attend,
}
