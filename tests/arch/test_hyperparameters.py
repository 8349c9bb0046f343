"""How metadata becomes hyperparameters, and which error each kind of damage gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from llmpy.arch.base import architectures, build
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.graph import Shape
from tests.arch import tiny

LLAMA = tiny.VARIANTS["llama"]
SHAPES: dict[str, Shape] = {name: a.shape for name, a in tiny.weights(LLAMA).items()}


@dataclass
class Source:
    """Metadata without a file."""

    metadata: Mapping[str, Any]
    path: str = "tiny.gguf"
    places: dict[str, int] = field(default_factory=dict)

    def where(self, key: str) -> int | None:
        return self.places.get(key)


def model(
    change: Mapping[str, Any] | None = None,
    leave_out: tuple[str, ...] = (),
    variant: tiny.Variant = LLAMA,
) -> Any:
    keys = {k: x for k, x in tiny.metadata(variant).items() if k not in leave_out}
    shapes = {k: a.shape for k, a in tiny.weights(variant).items() if k not in leave_out}
    return build(Source(keys | dict(change or {})), shapes)[0]


def refused(*arguments: Any, **options: Any) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        model(*arguments, **options)
    return caught.value


def test_hyperparameters_are_those_of_the_file() -> None:
    found = model()
    assert (found.n_layer, found.n_embd, found.n_head, found.n_kv) == (3, 64, 4, 2)
    assert (found.n_ctx, found.eps, found.rope_base) == (tiny.N_CTX, 1e-5, 10_000.0)


def test_absent_keys_have_their_defaults() -> None:
    found = model(leave_out=("llama.rope.freq_base", "llama.rope.dimension_count"))
    assert (found.rope_base, found.rope_dims, found.window, found.n_expert) == (10_000.0, 0, 0, 0)


def test_a_default_may_be_an_earlier_hyperparameter() -> None:
    untied = tiny.VARIANTS["llama-untied"]
    found = model(leave_out=("llama.attention.head_count_kv",), variant=untied)
    assert found.n_kv == found.n_head == 4


def test_a_whole_number_serves_as_a_fraction() -> None:
    found = model({"llama.rope.freq_base": 10_000})
    assert type(found.rope_base) is float


def test_an_array_of_equal_values_is_one_value() -> None:
    assert model({"llama.attention.head_count_kv": np.array([2, 2, 2], np.int32)}).n_kv == 2
    assert model({"llama.attention.head_count": [4, 4, 4]}).n_head == 4


@pytest.mark.parametrize("base", [1.0, 3.58e9, 4.6e10])
def test_long_context_models_have_very_large_bases(base: float) -> None:
    assert model({"llama.rope.freq_base": base}).rope_base == base


@pytest.mark.parametrize(
    "name",
    [
        "block_count",
        "context_length",
        "embedding_length",
        "attention.head_count",
        "attention.layer_norm_rms_epsilon",
    ],
)
def test_a_missing_key_is_named(name: str) -> None:
    error = refused(leave_out=(f"llama.{name}",))
    assert error.field == f"llama.{name}"
    assert "without it" in str(error)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("block_count", 3.0, "a whole number"),
        ("block_count", "3", "a whole number"),
        ("block_count", True, "a whole number"),
        ("block_count", 0, "a number from 1"),
        ("block_count", -1, "a number from 1"),
        ("block_count", 2**31, "a number from 1 to"),
        ("block_count", 2**64 - 1, "a number from 1 to"),
        ("embedding_length", 0, "a number from 1"),
        ("attention.head_count", 0, "a number from 1"),
        ("attention.head_count", -4, "a number from 1"),
        ("attention.head_count_kv", 0, "a number from 1"),
        ("attention.head_count_kv", np.array([2, 2, 1], np.int32), "one value for all layers"),
        ("attention.head_count_kv", np.array([], np.int32), "one value for all layers"),
        ("attention.head_count_kv", [np.array([2]), np.array([2])], "one value for all layers"),
        ("attention.head_count_kv", [[2], [2]], "one value for all layers"),
        ("attention.head_count_kv", [], "one value for all layers"),
        ("attention.head_count_kv", ["2", "2"], "a whole number"),
        ("attention.head_count_kv", np.array([2.0, 2.0], np.float32), "a whole number"),
        ("attention.layer_norm_rms_epsilon", math.nan, "a number from 0"),
        ("attention.layer_norm_rms_epsilon", math.inf, "a number from 0"),
        ("attention.layer_norm_rms_epsilon", -math.inf, "a number from 0"),
        ("attention.layer_norm_rms_epsilon", -1e-5, "a number from 0"),
        ("attention.layer_norm_rms_epsilon", "small", "a number"),
        ("attention.layer_norm_rms_epsilon", False, "a number"),
        ("rope.freq_base", 0.0, "a number from 1"),
        ("rope.freq_base", math.nan, "a number from 1"),
        ("rope.freq_base", math.inf, "a number from 1"),
        ("rope.scaling.factor", -4.0, "a number from"),
        ("rope.scaling.type", 1, "a str"),
        ("attention.sliding_window", -1, "a number from 0"),
        ("attention.key_length", 0, "a number from 1"),
        ("expert_count", -1, "a number from 0"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    name: str, value: Any, expected: str
) -> None:
    error = refused({f"llama.{name}": value})
    assert error.field == f"llama.{name}"
    assert error.expected.startswith(expected)


def test_an_error_says_where_in_the_file() -> None:
    keys = tiny.metadata(LLAMA) | {"llama.block_count": 0}
    with pytest.raises(ModelFileError, match=r"^tiny\.gguf: llama\.block_count at byte 77: "):
        build(Source(keys, places={"llama.block_count": 77}), SHAPES)


def test_a_huge_value_gives_a_short_error() -> None:
    error = refused({"llama.attention.layer_norm_rms_epsilon": "x" * 100_000})
    assert len(str(error)) < 300


@pytest.mark.parametrize("n", [2, 4, 2**31 - 1])
def test_block_count_must_be_what_the_file_has(n: int) -> None:
    error = refused({"llama.block_count": n})
    assert error.field == "llama.block_count"
    assert error.expected.startswith("3,")
    assert error.found == str(n)


def test_a_gap_between_blocks_is_a_missing_tensor() -> None:
    shapes = {name.replace("blk.1.", "blk.9."): shape for name, shape in SHAPES.items()}
    with pytest.raises(ModelFileError, match=r"blk\.1\.attn_norm\.weight.* is missing"):
        build(Source(tiny.metadata(LLAMA)), shapes)


def test_a_file_without_blocks_is_refused() -> None:
    with pytest.raises(ModelFileError, match="block_count"):
        build(Source(tiny.metadata(LLAMA)), {"token_embd.weight": (10, 64)})


def test_an_unknown_architecture_lists_the_known_ones() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        model({"general.architecture": "martian"})
    assert caught.value.field == "general.architecture"
    assert "martian" in str(caught.value)[:80]  # what was found comes first
    assert ", llama," in str(caught.value.hint)
    assert "martian" in caught.value.found


@pytest.mark.parametrize("value", [3, 1.5, ["llama"], b"llama"])
def test_an_architecture_is_a_name(value: Any) -> None:
    assert refused({"general.architecture": value}).field == "general.architecture"


def test_an_architecture_must_be_named() -> None:
    error = refused(leave_out=("general.architecture",))
    assert error.field == "general.architecture"


def test_the_folder_is_the_registry() -> None:
    assert "llama" in architectures()
    assert list(architectures()) == sorted(architectures())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"llama.embedding_length": 32}, ["token_embd.weight", "64", "32"]),
        ({"llama.attention.head_count": 3}, ["64 values", "3 heads"]),
        ({"llama.attention.head_count": 8}, ["heads of 8", "rotated"]),
        ({"llama.attention.head_count_kv": 1}, ["queries of 16", "keys of 32"]),
        ({"llama.attention.head_count_kv": 3}, ["32 values", "3 heads"]),
        ({"llama.attention.key_length": 32}, ["attn_q", "heads of 16", "not 32"]),
        ({"llama.rope.dimension_count": 32}, ["rope", "32 rotated", "heads of 16"]),
        ({"llama.rope.dimension_count": 15}, ["rope", "15 rotated"]),
        ({"llama.rope.scaling.type": "warped"}, ["none, linear or yarn", "warped"]),
        ({"llama.expert_count": 4}, ["ffn_gate_inp.weight", "missing"]),
    ],
)
def test_what_the_tensors_contradict_is_told(change: dict[str, Any], message: list[str]) -> None:
    text = str(refused(change))
    for words in [*message, *(f"{k} = {x}" for k, x in change.items())]:
        assert words in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"llama.expert_count": 8}, ["ffn_gate_inp.weight", "4 experts"]),
        ({"llama.expert_count": 0}, ["ffn_gate.weight", "missing"]),
        ({"llama.expert_used_count": 5}, ["1 to 4 experts", "found 5"]),
        ({"llama.expert_used_count": 0}, ["1 to 4 experts", "found 0"]),
    ],
)
def test_experts_must_be_what_the_file_has(change: dict[str, Any], message: list[str]) -> None:
    text = str(refused(change, variant=tiny.VARIANTS["mixtral"]))
    for words in message:
        assert words in text


@pytest.mark.parametrize("name", [*SHAPES])
def test_each_tensor_is_needed(name: str) -> None:
    assert name in str(refused(leave_out=(name,)))


@pytest.mark.parametrize("name", [*SHAPES])
def test_each_tensor_must_have_its_shape(name: str) -> None:
    shape = SHAPES[name]
    for wrong in ((*shape[:-1], shape[-1] + 1), (*shape, 1), (1, *shape), shape[:-1] or (1,)):
        with pytest.raises(ModelFileError, match=r"embd|norm|attn|ffn|output"):
            build(Source(tiny.metadata(LLAMA)), SHAPES | {name: wrong})


def test_a_tensor_too_many_is_named() -> None:
    with pytest.raises(ModelFileError, match=r"'blk\.0\.attn_sinks\.weight'.*never reads"):
        build(Source(tiny.metadata(LLAMA)), SHAPES | {"blk.0.attn_sinks.weight": (4,)})


def test_leftovers_of_old_converters_are_harmless() -> None:
    build(Source(tiny.metadata(LLAMA)), SHAPES | {"blk.0.attn_rot_embd.weight": (8,)})
