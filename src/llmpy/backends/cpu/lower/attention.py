"""Lowering of rotary embeddings and attention: which tables there are, and where caches lie."""

from __future__ import annotations

from collections.abc import Callable

from llmpy.backends.cpu.kv import caches_of, page_layout
from llmpy.backends.cpu.lower import ops
from llmpy.backends.cpu.lower.emitted import Emitted
from llmpy.errors import BackendError
from llmpy.ffi.abi import NO_PLACE
from llmpy.graph import Node
from llmpy.graph.rope import alibi_slopes

__all__ = ["ATTENTION"]


def rope(work: Emitted, i: int, node: Node) -> None:
    """By a table of cosines and sines, shared by all that turn alike."""
    x, (heads, width), spec = work.of(node.inputs[0]), node.shape, node.attrs.rope
    key = (spec, node.weights[0] if node.weights else "")
    if key not in work.ropes:
        work.ropes.append(key)
    op = ops.Rope(
        rows=node.rows, x=x, in_place=(x,), heads=heads, width=width, pairs=spec.n_dims // 2,
        neox=int(spec.neox), table=work.ropes.index(key),
    )  # fmt: skip
    work.emit(i, op)


def cached(work: Emitted, _: int, node: Node) -> None:
    """Rows to the pages."""
    if len(node.shape) != 2:
        raise BackendError(f"the cpu backend cannot cache arrays of shape {node.shape}")
    layout = page_layout(work.graph, work.kv_dtype)
    cache, (heads, width) = node.attrs.index, node.shape
    op = ops.Cached(
        rows=node.rows, x=work.of(node.inputs[0]), heads=heads, width=width,
        keys=layout.keys.get(cache, NO_PLACE), values=layout.values.get(cache, NO_PLACE),
        windows=int(cache in layout.windows.caches),
    )  # fmt: skip
    work.ops.append(op)


def attend(work: Emitted, i: int, node: Node) -> None:
    """Over the pages."""
    q, k, v = (work.graph.nodes[j] for j in node.inputs)
    (n_head, d_key), n_kv, a = q.shape, k.shape[0], node.attrs
    layout = page_layout(work.graph, work.kv_dtype)
    key, value = caches_of(work.graph, node)
    alibi = a.alibi
    slopes = ops.Constant(f"alibi:{alibi:g}", tuple(alibi_slopes(n_head, alibi))) if alibi else None
    op = ops.Attend(
        rows=node.rows, x=work.of(node.inputs[0]), n_head=n_head, n_kv=n_kv, d_key=d_key,
        d_value=v.shape[1], keys=layout.keys[key], values=layout.values[value],
        window=a.window, causal=int(a.causal), scale=a.scale,
        softcap=a.softcap, windows=int(key in layout.windows.caches), slopes=slopes,
        sinks=ops.Values(node.weights[0]) if node.weights else None,
    )  # fmt: skip
    work.emit(i, op)


ATTENTION: dict[str, Callable[[Emitted, int, Node], None]] = {
    "rope": rope,
    "cached": cached,
    "attend": attend,
}
