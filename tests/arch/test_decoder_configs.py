"""What configurations of dense decoders become, in the words of any year; and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from llmpy.arch.base import checkpoints
from llmpy.errors import UnsupportedModelError

BASE = {
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 6,
    "max_position_embeddings": 1024,
    "vocab_size": 264,
    "query_pre_attn_scalar": 16,
    "layer_norm_eps": 1e-5,
    "logit_scale": 0.5,
    "rms_norm_eps": 1e-6,
}


def metadata(model_type: str, **changes: Any) -> dict[str, Any]:
    return dict(checkpoints()[model_type].metadata(BASE | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sliding_window_pattern": 4}, 4),
        ({"sliding_window_pattern": "LG"}, [True, False] * 3),
        ({"layer_types": ["full_attention", "sliding_attention"] * 3}, [False, True] * 3),
        ({}, None),
    ],
)
def test_which_layers_have_a_window(changes: dict[str, Any], expected: Any) -> None:
    found = metadata("cohere2", sliding_window=8, **changes)
    assert found["attention.sliding_window_pattern"] == expected


def test_gemma3_has_two_rotations_in_the_words_of_any_year() -> None:
    old = metadata(
        "gemma3_text",
        rope_theta=1e6,
        rope_local_base_freq=1e4,
        rope_scaling={"rope_type": "linear", "factor": 8.0},
    )
    new = metadata(
        "gemma3_text",
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    )
    assert old == new
    assert (old["rope.freq_base"], old["rope.freq_base_swa"]) == (1e6, 1e4)
    assert (old["rope.scaling.type"], old["rope.scaling.factor"]) == ("linear", 8.0)


LONG = {"long_factor": [2.0] * 8, "short_factor": [1.0] * 8}


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_scaling": {"type": "su", **LONG}, "original_max_position_embeddings": 256},
        {"rope_scaling": {"type": "longrope", **LONG, "original_max_position_embeddings": 256}},
        {
            "rope_parameters": {
                "rope_type": "longrope", **LONG, "original_max_position_embeddings": 256
            }
        },
    ],
)  # fmt: skip
def test_longrope_in_the_words_of_any_year(changes: dict[str, Any]) -> None:
    found = metadata("phi3", **changes)
    assert found["rope.scaling.original_context_length"] == 256
    stretched = math.sqrt(1 + math.log(4) / math.log(256))
    assert found["rope.scaling.attn_factor"] == pytest.approx(stretched)
    extra = checkpoints()["phi3"].extra
    assert extra is not None
    np.testing.assert_array_equal(extra(BASE | changes)["rope_factors_long.weight"], [2.0] * 8)


def test_a_part_of_each_head_is_rotated_in_the_words_of_any_year() -> None:
    old = metadata("phi3", partial_rotary_factor=0.75)
    new = metadata("phi3", rope_parameters={"partial_rotary_factor": 0.75})
    assert old["rope.dimension_count"] == new["rope.dimension_count"] == 12


@pytest.mark.parametrize(
    ("model_type", "changes", "key"),
    [
        (
            "qwen2",
            {"use_sliding_window": True, "max_window_layers": 0},
            "use_sliding_window",
        ),
        ("qwen3", {"hidden_act": "gelu"}, "hidden_act"),
        ("smollm3", {"no_rope_layers": [1] * 6}, "no_rope_layers"),
        ("nemotron", {"hidden_act": "silu"}, "hidden_act"),
        ("ministral3", {"sliding_window": 8}, "sliding_window"),
    ],
)
def test_what_a_file_could_not_say_is_refused(
    model_type: str, changes: dict[str, Any], key: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=f"'{key}'"):
        checkpoints()[model_type].follow(BASE | {"norm_eps": 1e-5} | changes)
