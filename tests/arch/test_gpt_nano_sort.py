"""A trained GPT-2 of three layers with every published activation, operation by operation.

The scores of its attention stay inside `attend`, and are seen through what comes out of it.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from llmpy.graph import Value, Weights
from tests.arch.steps import make_backend
from tests.ops.harness import Model

Array = NDArray[np.float32]
FOLDER = "weights/gpt-nano-sort"
N_LAYER, N_HEAD, EPS = 3, 3, 1e-5
NEAR = 2e-6  # of the largest value
PUBLISHED = [
    "tok_emb", "pos_emb", "x", "ln1", "q", "k", "v", "y", "yProj", "attnResid", "ln2", "fc", "gelu",
    "mlp", "mlpResid", "block0", "block1", "block2", "ln_f", "lm_head",
]  # fmt: skip


@functools.cache
def arrays(path: Path) -> dict[str, Array]:
    """The arrays of a JSON file: float32 in base64."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return {
        name.removeprefix("transformer."): np.frombuffer(
            base64.b64decode(array["data"]), "<f4"
        ).reshape(array["shape"])
        for name, array in found.items()
        if "data" in array
    }


def activations(x: Value, w: Weights) -> Iterator[tuple[str, Value]]:
    """The model, value after value, under the names they were published by; those of block 0."""
    yield "tok_emb", x
    positions = x.graph.tokens().embed_position(w.wpe)
    yield "pos_emb", positions
    x = x + positions
    yield "x", x
    for i in range(N_LAYER):
        names = block(x, getattr(w.h, str(i)))
        for name, value in names.items():
            if i == 0:
                yield name, value
        x = names["mlpResid"]
        yield f"block{i}", x
    x = x.layer_norm(w.ln_f, EPS)
    yield "ln_f", x
    yield "lm_head", x.linear(w.lm_head)


def block(x: Value, w: Weights) -> dict[str, Value]:
    names = {"ln1": x.layer_norm(w.ln_1, EPS)}
    width = x.shape[0]
    qkv = names["ln1"].linear(w.attn.c_attn).split(width, width, width)
    q, k, v = (part.heads(N_HEAD) for part in qkv)
    names |= {"q": q.flatten(), "k": k.flatten(), "v": v.flatten()}
    names["y"] = q.attend(k.cached(), v.cached())
    names["yProj"] = names["y"].linear(w.attn.c_proj)
    names["attnResid"] = x + names["yProj"]
    names["ln2"] = names["attnResid"].layer_norm(w.ln_2, EPS)
    names["fc"] = names["ln2"].linear(w.mlp.c_fc)
    names["gelu"] = names["fc"].gelu()
    names["mlp"] = names["gelu"].linear(w.mlp.c_proj)
    names["mlpResid"] = names["attnResid"] + names["mlp"]
    return names


def published(partials: dict[str, Array], name: str) -> Array:
    """[3, 11, n]: heads side by side, positions for each text."""
    found = partials[name]
    if found.ndim == 4:
        found = found.swapaxes(1, 2).reshape(3, 11, -1)
    return np.broadcast_to(found, (3, *found.shape[1:]))


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_each_value_is_the_published_one(
    backend: str, name: str, shared_data: Callable[[str], Path]
) -> None:
    weights = dict(arrays(shared_data(f"{FOLDER}/gpt-nano-sort-model.json")))
    partials = arrays(shared_data(f"{FOLDER}/gpt-nano-sort-t0-partials.json"))
    table = weights.pop("wte.weight")
    model = Model(
        make_backend(backend),
        table,
        lambda x, w: dict(activations(x, w))[name].scale(2.0).scale(0.5),
        {to: ("F32", array) for to, array in weights.items() if array.ndim < 4},
    )
    expected = published(partials, name)
    for tokens, values in zip(partials["idx"].astype(int), expected, strict=True):
        found = model.read(tokens)
        assert np.abs(found - values).max() < NEAR * max(1.0, float(np.abs(expected).max()))
