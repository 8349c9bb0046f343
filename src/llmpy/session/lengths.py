"""The longest texts that `Model.embed` reads, and cutting those that are longer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmpy import checks
from llmpy.errors import ContextFull
from llmpy.graph import Graph, is_encoder

if TYPE_CHECKING:
    from llmpy.session.described import Described

__all__ = ["check_lengths", "truncated"]

NAMED = 5  # texts that a message lists


def truncated(
    model: Described,
    texts: Sequence[str | Sequence[int]],
    ids: list[list[int]],
    truncate: bool | int | None,
) -> list[list[int]]:
    """Return the `ids` of `texts`, those that are too long cut as `truncate` of `embed` says.

    Strings keep the closing token that the vocabulary puts behind each text; given ids are cut at
    their end. Raises TypeError for anything else than a flag or a whole number, ValueError for one
    below 1.
    """
    if truncate is not None and not isinstance(truncate, bool):
        truncate = checks.whole("truncate", truncate)
    limit = model.metadata.get(f"{model.metadata['general.architecture']}.max_sequence_length")
    limit = min(limit, model.n_ctx) if isinstance(limit, int) and limit > 0 else None
    if truncate is False or (truncate is None and limit is None):
        return ids
    most = (limit or model.n_ctx) if truncate is None or truncate is True else truncate
    long = [i for i, text in enumerate(ids) if len(text) > most]
    if long and truncate is None:
        warnings.warn(
            f"embed: {_named(ids, long)}; this model was made for {limit} (max_seq_length), and "
            "what follows is cut off. truncate=True does so without this warning, and "
            "truncate=False never",
            RuntimeWarning,
            stacklevel=4,
        )
    result = list(ids)
    for i in long:
        kept = ids[i][-1:] if isinstance(texts[i], str) and model.tokenizer.add_eos else []
        result[i] = ids[i][: most - len(kept)] + kept
    return result


def check_lengths(model: Described, lengths: Sequence[int]) -> None:
    """Refuse texts without tokens, or with more than the model can take, naming all of them."""
    ids = [range(n) for n in lengths]
    if empty := [i for i, n in enumerate(lengths) if not n]:
        raise ValueError(f"embed: {_texts(empty)} no tokens")
    if long := [i for i, n in enumerate(lengths) if n > model.n_ctx]:
        rows = _positions(model.graph)
        if rows is not None and max(lengths) > rows:
            most = f"this model can never take more than {rows}, for which it has positions"
        else:
            most = "load the model with a larger n_ctx"
        advice = f"embed: {_named(ids, long)}; {most}. Split such texts, or pass truncate=True"
        raise ContextFull(model.n_ctx, max(lengths), advice)
    wide = [i for i, n in enumerate(lengths) if n > model.n_batch]
    if wide and is_encoder(model.graph):
        raise ValueError(
            f"embed: {_named(ids, wide)}, all of which this model must read at once, but a "
            f"batch has {model.n_batch}: load it with n_batch={model.n_ctx}, or cut texts with "
            f"truncate={model.n_batch}"
        )


def _named(ids: Sequence[Sequence[int]], which: Sequence[int]) -> str:
    """Return the texts and their numbers of tokens, the longest of them counted."""
    longest = max(len(ids[i]) for i in which)
    up_to = "up to " if len(which) > 1 else ""
    return f"{_texts(which)} {up_to}{longest} tokens"


def _texts(which: Sequence[int]) -> str:
    if len(which) == 1:
        return f"text {which[0]} has"
    listed = ", ".join(map(str, which[:NAMED]))
    more = f" and {len(which) - NAMED} more" if len(which) > NAMED else ""
    return f"texts {listed}{more} have"


def _positions(graph: Graph) -> int | None:
    """Return how many positions the tables of the model have; None if there are no tables."""
    tables = [node for node in graph.nodes if node.op == "embed_position"]
    return min((graph.shapes[n.weights[0]][0] - n.attrs.offset for n in tables), default=None)
