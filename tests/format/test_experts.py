"""Experts in older layouts open as one stack a matrix, or with an error that names the fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError
from llmpy.format import ModelFile, open_gguf, write_gguf

Tensors = list[tuple[str, str, np.ndarray]]
STACKED = np.arange(3 * 4 * 32, dtype=np.float32).reshape(3, 4, 32)


def opened(tmp_path: Path, tensors: Tensors, **options: bool) -> ModelFile:
    path = tmp_path / "model.gguf"
    rows = [(name, BY_NAME[dtype], a.shape, a) for name, dtype, a in tensors]
    write_gguf(path, {"general.architecture": "x"}, rows, **options)
    return open_gguf(path)


def one_by_one(order: list[int]) -> Tensors:
    return [(f"blk.0.ffn_up.{e}.weight", "F32", STACKED[e]) for e in order]


@pytest.mark.parametrize("big_endian", [False, True])
def test_one_tensor_an_expert_becomes_a_stack(tmp_path: Path, big_endian: bool) -> None:
    with opened(tmp_path, one_by_one([2, 0, 1]), big_endian=big_endian) as file:
        assert file.tensors["blk.0.ffn_up_exps.weight"].shape == (3, 4, 32)
        data = file.data("blk.0.ffn_up_exps.weight").view("<f4")
    np.testing.assert_array_equal(data.reshape(3, 4, 32), STACKED)


def test_a_stack_is_read_expert_by_expert(tmp_path: Path) -> None:
    with opened(tmp_path, one_by_one([0, 1, 2])) as file:
        pieces = [piece.view("<f4") for piece in file.pieces("blk.0.ffn_up_exps.weight")]
        file.release("blk.0.ffn_up_exps.weight")
    np.testing.assert_array_equal(np.stack(pieces), STACKED.reshape(3, -1))


def test_gate_and_up_in_one_tensor_become_two(tmp_path: Path) -> None:
    both = [("blk.7.ffn_gate_up_exps.weight", "F32", STACKED)]
    with opened(tmp_path, both) as file:
        assert set(file.tensors) == {"blk.7.ffn_gate_exps.weight", "blk.7.ffn_up_exps.weight"}
        for name, half in (("gate", STACKED[:, :2]), ("up", STACKED[:, 2:])):
            data = file.data(f"blk.7.ffn_{name}_exps.weight").view("<f4")
            np.testing.assert_array_equal(data.reshape(3, 2, 32), half)


def test_biases_of_gate_and_up_become_two(tmp_path: Path) -> None:
    both = [("blk.7.ffn_gate_up_exps.bias", "F32", STACKED[0])]
    with opened(tmp_path, both) as file:
        data = file.data("blk.7.ffn_up_exps.bias").view("<f4")
    np.testing.assert_array_equal(data.reshape(4, 16), STACKED[0][:, 16:])


def test_the_gate_of_a_shared_expert_is_a_row(tmp_path: Path) -> None:
    with opened(tmp_path, [("blk.0.ffn_gate_inp_shexp.weight", "F32", STACKED[0, 0])]) as file:
        assert file.tensors["blk.0.ffn_gate_inp_shexp.weight"].shape == (1, 32)


def test_the_bias_of_a_router_is_a_vector(tmp_path: Path) -> None:
    with opened(tmp_path, [("blk.0.exp_probs_b.bias", "F32", STACKED[0, :1])]) as file:
        assert file.tensors["blk.0.exp_probs_b.bias"].shape == (32,)


BROKEN = {
    "an expert is missing": (one_by_one([0, 2]), "all from 0 on"),
    "one has another shape": (
        [*one_by_one([0, 1]), ("blk.0.ffn_up.2.weight", "F32", STACKED[0, :3])],
        "as its first expert",
    ),
    "one has another type": (
        [*one_by_one([0, 1]), ("blk.0.ffn_up.2.weight", "F16", STACKED[2].astype("<f2"))],
        "as its first expert",
    ),
    "two layouts at once": (
        [*one_by_one([0, 1, 2]), ("blk.0.ffn_up_exps.weight", "F32", STACKED)],
        "experts in one layout",
    ),
    "halves that are none": (
        [("blk.0.ffn_gate_up_exps.weight", "F32", STACKED[:, :3])],
        "two halves",
    ),
    "halves of a vector": ([("blk.0.ffn_gate_up_exps.weight", "F32", STACKED[0])], "two halves"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_experts_that_do_not_fit_together_are_refused(tmp_path: Path, case: str) -> None:
    tensors, message = BROKEN[case]
    with pytest.raises(ModelFileError, match=message):
        opened(tmp_path, tensors)
