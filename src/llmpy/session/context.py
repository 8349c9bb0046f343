"""Choosing the length of the context: as requested, within what the model has and memory holds."""

from __future__ import annotations

import warnings

from llmpy.backends.base import PAGE_TOKENS, Requirements
from llmpy.errors import ModelFileError, OutOfMemory
from llmpy.format import ModelFile
from llmpy.graph import Graph
from llmpy.machine.memory import readable_bytes

__all__ = ["context_length"]


def context_length(
    file: ModelFile, graph: Graph, asked: int | None, trained: int, needs: Requirements
) -> int:
    """Return the tokens a session may hold, so that weights and one full session fit in memory.

    `asked` by the user, or None; `trained` is the model's own; `needs` what the backend needs.
    Raises OutOfMemory with the numbers, ValueError for more than the model has positions,
    ModelFileError if it has none. Warns of more than attention was trained with.
    """
    weights = needs.weights + needs.recurrent
    free = 1 << 62 if needs.available is None else needs.available
    most = _position_limit(file, graph, asked)
    n_ctx = asked or min(trained, most)
    fitting = needs.most_tokens(free - weights)
    if (asked and asked > fitting) or fitting < PAGE_TOKENS:
        n = asked or PAGE_TOKENS
        n_bytes = needs.cache_bytes(n)
        raise OutOfMemory(
            f"{file.path}: the weights{' and the recurrent state' if graph.recurrences else ''} "
            f"need {readable_bytes(weights)} and a context of {n} tokens "
            f"{readable_bytes(n_bytes)}, but {readable_bytes(free)} of memory are free. "
            + (f"A context of {fitting} would fit." if fitting >= PAGE_TOKENS else ""),
            needed=weights + n_bytes,
            free=free,
        )
    if n_ctx > trained and graph.caches:
        warnings.warn(
            f"n_ctx: {file.path} was trained with contexts of {trained} tokens; text that is "
            f"generated beyond them, up to {n_ctx}, gets worse",
            RuntimeWarning, stacklevel=3,
        )  # fmt: skip
    return min(n_ctx, fitting, most)


def _position_limit(file: ModelFile, graph: Graph, asked: int | None) -> int:
    """Return the number of positions that all tables of positions have rows for.

    An array of all is kept, too: 64 MB at the most.
    """
    most = 1 << 24
    for node in graph.nodes:
        if node.op != "embed_position":
            continue
        name, offset = node.weights[0], node.attrs.offset
        rows = graph.shapes[name][0]
        if rows - offset < 1:
            field = f"tensor {name!r} dimension 1"
            raise ModelFileError(file.path, field, f"more than {offset} rows", str(rows))
        if asked and asked > rows - offset:
            raise ValueError(
                f"n_ctx: {asked} tokens were asked for, but the table of positions {name!r} of "
                f"{file.path} has rows for {rows - offset}"
            )
        most = min(most, rows - offset)
    return most
