"""What rotary decoders read per layer, and what depends on the context of the sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.arch.base import build
from llmpy.errors import ModelFileError
from llmpy.graph import Graph, Shape
from tests.arch import checkpoints
from tests.arch.test_hyperparameters import Source

N_LAYER, N_EMBD = 5, 32


def shapes(*, fused: bool = False) -> dict[str, Shape]:
    matrix = (N_EMBD, N_EMBD)
    block: dict[str, Shape] = {"attn_norm": (N_EMBD,), "attn_output": matrix, "ffn_down": matrix}
    if fused:
        block |= {"attn_qkv": (3 * N_EMBD, N_EMBD), "ffn_up": (2 * N_EMBD, N_EMBD)}
        block |= {"ffn_norm": (N_EMBD,)}
    else:
        names = ("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up")
        block |= dict.fromkeys(names, matrix)
    blocks = {f"blk.{i}.{name}.weight": s for i in range(N_LAYER) for name, s in block.items()}
    return {"token_embd.weight": (9, N_EMBD), "output_norm.weight": (N_EMBD,), **blocks}


def metadata(name: str, more: dict[str, Any]) -> dict[str, Any]:
    keys = {
        "block_count": N_LAYER,
        "context_length": 64,
        "embedding_length": N_EMBD,
        "attention.head_count": 4,
        "attention.layer_norm_epsilon": 1e-5,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.sliding_window": 8,
        "logit_scale": 0.5,
        **more,
    }
    return {"general.architecture": name, **{f"{name}.{k}": v for k, v in keys.items()}}


def cohere2(**keys: Any) -> Graph:
    pattern = {f"attention.sliding_window_{k}": v for k, v in keys.items()}
    return build(Source(metadata("cohere2", pattern)), shapes())[1]


def windows(graph: Graph) -> list[int]:
    return [node.attrs.window for node in graph.nodes if node.op == "attend"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, [8, 8, 8, 0, 8]),
        ({"pattern": 2}, [8, 0, 8, 0, 8]),
        ({"pattern": 1}, [0, 0, 0, 0, 0]),
        ({"pattern": 0}, [8, 8, 8, 8, 8]),
        ({"pattern": [True, False, False, True, True]}, [8, 0, 0, 8, 8]),
        ({"pattern": np.array([0, 1, 1, 1, 0], np.bool_)}, [0, 8, 8, 8, 0]),
        ({"pattern": np.array([0, 1, 1, 1, 0], np.int32)}, [0, 8, 8, 8, 0]),
    ],
)
def test_the_pattern_of_windows_is_a_period_or_flags(
    keys: dict[str, Any], expected: list[int]
) -> None:
    assert windows(cohere2(**keys)) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ([True, False], "one value, or one for each of 5 layers"),
        ([], "one value, or one for each of 5 layers"),
        ([[True]] * 5, "true or false"),
        ([2] * 5, "true or false"),
        (["yes"] * 5, "true or false"),
        (np.zeros(1_000_000, np.bool_), "one value, or one for each of 5 layers"),
        (-1, "a number from 0"),
        (1.5, "a whole number"),
    ],
)
def test_a_wrong_pattern_is_refused(pattern: Any, expected: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        cohere2(pattern=pattern)
    assert caught.value.field == "cohere2.attention.sliding_window_pattern"
    assert caught.value.expected.startswith(expected)


def phi3(n_ctx: int = 0, **keys: Any) -> Graph:
    tensors = {f"rope_factors_{kind}.weight": (4,) for kind in ("long", "short")}
    context = {"rope.scaling.original_context_length": 32}
    source = Source(metadata("phi3", context | keys))
    return build(source, shapes(fused=True) | tensors, n_ctx)[1]


def factors(graph: Graph) -> set[str]:
    return {name for node in graph.nodes if node.op == "rope" for name in node.weights}


@pytest.mark.parametrize(
    ("n_ctx", "kind"), [(0, "long"), (33, "long"), (32, "short"), (1, "short")]
)
def test_longrope_takes_the_factors_for_the_context_of_the_sessions(n_ctx: int, kind: str) -> None:
    assert factors(phi3(n_ctx)) == {f"rope_factors_{kind}.weight"}


def test_a_tensor_is_harmless_only_where_an_architecture_says_so() -> None:
    with pytest.raises(ModelFileError, match=r"rope_factors_long\.weight.* never reads"):
        build(Source(metadata("cohere2", {})), shapes() | {"rope_factors_long.weight": (4,)})


def test_sections_of_pictures_are_four_numbers() -> None:
    keys = metadata("glm4", {"rope.dimension_sections": [2, 2]})
    with pytest.raises(ModelFileError, match="expected 4 values"):
        build(Source(keys), shapes(fused=True))


def test_heads_of_another_width_than_said_are_refused() -> None:
    keys = metadata("cohere2", {"attention.key_length": 16})
    with pytest.raises(ModelFileError, match="heads of 8, not 16"):
        build(Source(keys), shapes())


@pytest.mark.parametrize(("n_ctx", "kind"), [(None, "long"), (64, "long"), (32, "short")])
def test_a_loaded_model_has_the_factors_for_its_context(
    n_ctx: int | None, kind: str, tmp_path: Path
) -> None:
    golden = checkpoints.load_golden("phi3-long")  # first 32 tokens, then stretched to 1024
    weights = golden.weights(checkpoints.spec("phi3-long"))
    folder = checkpoints.write(tmp_path / "model", golden.about["config"], weights)
    with llmpy.load(folder, n_ctx=n_ctx, backend="reference") as model:
        assert factors(model.graph) == {f"rope_factors_{kind}.weight"}


def test_less_memory_than_was_hoped_for_gives_the_factors_of_less_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = checkpoints.load_golden("phi3-long")
    weights = golden.weights(checkpoints.spec("phi3-long"))
    folder = checkpoints.write(tmp_path / "model", golden.about["config"], weights)
    monkeypatch.setattr("llmpy.wiring.context_length", lambda *_: 16)
    with llmpy.load(folder, backend="reference") as model:
        assert (model.n_ctx, factors(model.graph)) == (16, {"rope_factors_short.weight"})
