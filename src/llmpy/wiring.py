"""A model file and a backend, before any tensor is read: the graph, the context, the memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from llmpy.arch.base import build
from llmpy.backends.base import Backend, Requirements
from llmpy.format import ModelFile
from llmpy.graph import Graph, is_encoder
from llmpy.overrides import with_rope
from llmpy.runnable import check_types, shapes_of
from llmpy.session.context import context_length

__all__ = ["Wired", "unchecked", "wire"]


class Wired(NamedTuple):
    """The architecture's `hyperparameters` and `graph`, for sessions of `n_ctx` tokens at most.

    Keys and values are stored as `kv_dtype`; the backend `needs` so much memory.
    """

    hyperparameters: Any
    graph: Graph
    n_ctx: int
    kv_dtype: str
    needs: Requirements


def wire(
    backend: Backend,
    file: ModelFile,
    *,
    n_ctx: int | None,
    kv_dtype: str,
    rope: Mapping[str, Any] | None,
) -> Wired:
    """Wire the model of a file, for as many tokens as were asked for, or as memory holds."""
    hyperparameters, graph = unchecked(file, n_ctx, rope)
    kv_dtype = "f32" if is_encoder(graph) else kv_dtype  # kept for one text only
    needs = backend.requirements(graph, file.tensors, kv_dtype)
    trained = hyperparameters.n_ctx if rope is None else max(n_ctx or 0, hyperparameters.n_ctx)
    context = context_length(file, graph, n_ctx, trained, needs)
    if context != graph.n_ctx:  # less than was hoped for; some architectures look at it
        hyperparameters, graph = build(with_rope(file, rope), shapes_of(file), context)
    return Wired(hyperparameters, graph, context, kv_dtype, needs)


def unchecked(
    file: ModelFile, n_ctx: int | None, rope: Mapping[str, Any] | None
) -> tuple[Any, Graph]:
    """The hyperparameters and the graph of a file, whatever memory there is."""
    hyperparameters, graph = build(with_rope(file, rope), shapes_of(file), n_ctx or 0)
    check_types(file, graph)
    return hyperparameters, graph
