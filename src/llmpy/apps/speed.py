"""Tokens a second of a model here, and the bytes of weights that each of them reads."""

from __future__ import annotations

import time

import llmpy

__all__ = ["bytes_per_token", "one_round", "prompt"]


def prompt(model: llmpy.Model, n: int, turn: int) -> list[int]:
    """Return `n` tokens, and one that stays unread.

    They are others in each turn, of which 0 is the first, lest the prefix cache know them.
    """
    return [(turn + 1 + i * (2 * turn + 1)) % model.n_vocab for i in range(n + 1)]


def one_round(model: llmpy.Model, n_prompt: int, n_generate: int, turn: int) -> tuple[float, float]:
    """Return tokens a second of one prefill and one decode, in a session of its own."""
    ids = prompt(model, n_prompt, turn)
    with model.session(sampler=llmpy.greedy()) as session:
        begin = time.perf_counter()
        session.feed(ids)
        middle = time.perf_counter()
        for _ in range(n_generate):
            session.next_token()
        end = time.perf_counter()
    return n_prompt / (middle - begin), n_generate / (end - middle)


def bytes_per_token(model: llmpy.Model) -> float:
    """Return bytes of weights a token reads: all but the embedding, and of experts those used."""
    part = {
        name: node.attrs.n_used / model.tensors[name].shape[0]
        for node in model.graph.nodes
        if node.op == "moe"
        for name in node.weights
    }
    total: float = sum(
        model.tensors[name].size * part.get(name, 1.0)
        for name, uses in model.graph.used.items()
        if uses != {"embed"}
    )
    return total
