"""Checkpoints: rules rename, change, stack and split; whatever is wrong with a folder is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmpy.arch.checkpoint import Checkpoint, Tensor
from llmpy.checkpoint.huggingface import CheckpointFile, open_checkpoint
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format.safetensors import write_safetensors

Stored = tuple[str, str, tuple[int, ...], Any]


def numbers(*shape: int, start: float = 0.0) -> Any:
    return (start + np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)


def f32(name: str, array: Any) -> Stored:
    return name, "F32", array.shape, array


def bf16(array: Any) -> Any:
    return (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype(np.uint16)


@dataclass
class Maker:
    """Opens a folder with these tensors by these rules."""

    folder: Path

    def __call__(
        self,
        tensors: Sequence[Stored],
        rules: Sequence[Tensor],
        config: dict[str, Any] | None = None,
        extra: Callable[[Any], Any] | None = None,
        numbers: dict[str, str] | None = None,
    ) -> CheckpointFile:
        write_safetensors(self.folder / "model.safetensors", tensors)
        written = {"model_type": "toy"} if config is None else config
        (self.folder / "config.json").write_text(json.dumps(written))
        metadata = {"block_count": 1, "absent": None, "general.license": "mit"}
        names = ("toy", "toy_text")
        toy = Checkpoint("toy", names, lambda _: metadata, lambda _: rules, extra, numbers)
        return open_checkpoint(self.folder, {"toy": toy, "toy_text": toy}, lambda *_: {})


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def values(file: CheckpointFile, name: str) -> Any:
    info = file.tensors[name]
    raw = file.data(name)
    assert raw.size == info.size
    if info.dtype.name == "BF16":
        raw = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        raw = raw.view({"F32": np.float32, "F16": np.float16}[info.dtype.name])
    return raw.reshape(info.shape)


def test_names_go_on_with_weight_or_bias(make: Maker) -> None:
    w, b = numbers(2, 3), numbers(2)
    file = make(
        [f32("h.7.q.weight", w), f32("h.7.q.bias", b)], [Tensor("h.{i}.q", "blk.{i}.attn_q")]
    )
    np.testing.assert_array_equal(values(file, "blk.7.attn_q.weight"), w)
    np.testing.assert_array_equal(values(file, "blk.7.attn_q.bias"), b)


def test_the_first_fitting_rule_counts_and_none_leaves_out(make: Maker) -> None:
    rules = [Tensor("a.0", None), Tensor("a.{i}", "blk.{i}.x")]
    file = make([f32("a.0.weight", numbers(1)), f32("a.1.weight", numbers(1))], rules)
    assert list(file.tensors) == ["blk.1.x.weight"]


def test_numbers_in_names_are_whole_parts(make: Maker) -> None:
    rules = [Tensor("b.{i}.layer.1.x", "blk.{i}.x"), Tensor("b.{i}.layer.0.x", "blk.{i}.y")]
    arrays = [f32(f"b.12.layer.{n}.x.weight", numbers(1, start=n)) for n in (0, 1)]
    file = make(arrays, rules)
    assert values(file, "blk.12.x.weight") == 1
    assert values(file, "blk.12.y.weight") == 0


def test_experts_are_changed_and_stacked(make: Maker) -> None:
    arrays = [numbers(2, 3, start=10 * e) for e in range(12)]
    tensors = [f32(f"e.{e}.w.weight", a) for e, a in enumerate(arrays)]
    file = make(tensors, [Tensor("e.{e}.w", "blk.0.ffn_up_exps", np.transpose)])
    assert file.tensors["blk.0.ffn_up_exps.weight"].shape == (12, 3, 2)
    stacked = np.stack([a.T for a in arrays])
    np.testing.assert_array_equal(values(file, "blk.0.ffn_up_exps.weight"), stacked)


def test_one_tensor_is_split_into_several(make: Maker) -> None:
    w = numbers(4, 3)
    rule = Tensor("qk", ("q", "k"), lambda x: np.split(x, 2))
    file = make([f32("qk.weight", w)], [rule])
    np.testing.assert_array_equal(values(file, "q.weight"), w[:2])
    np.testing.assert_array_equal(values(file, "k.weight"), w[2:])


def test_several_tensors_become_one(make: Maker) -> None:
    a, b = numbers(1, 2), numbers(1, 2, start=9)
    rule = Tensor(("l.{i}.a", "l.{i}.b"), "blk.{i}.ab.weight", lambda x, y: np.concatenate([x, y]))
    file = make([f32("l.0.b", b), f32("l.0.a", a)], [rule])
    np.testing.assert_array_equal(values(file, "blk.0.ab.weight"), np.concatenate([a, b]))


def test_matrices_keep_their_type_and_vectors_become_f32(make: Maker) -> None:
    w, v = numbers(2, 3), numbers(3)
    stored = [("w.weight", "BF16", (2, 3), bf16(w)), ("v.weight", "BF16", (3,), bf16(v))]
    stored += [
        ("r.weight", "F16", (2, 3), w.astype(np.float16)),
        ("d.weight", "F64", (2, 3), w.astype(float)),
    ]
    rules = [
        Tensor("w", "w", lambda x: x + 1),
        Tensor("v", "v"),
        Tensor("r", "blk.0.ffn_gate_inp"),
        Tensor("d", "d"),
    ]
    file = make(stored, rules)
    types = {name: str(info.dtype) for name, info in file.tensors.items()}
    assert types == {
        "w.weight": "BF16", "v.weight": "F32", "blk.0.ffn_gate_inp.weight": "F32", "d.weight": "F32"
    }  # fmt: skip
    np.testing.assert_array_equal(values(file, "w.weight"), w + 1)
    np.testing.assert_array_equal(values(file, "v.weight"), v)
    np.testing.assert_array_equal(values(file, "d.weight"), w)


def test_blocks_pass_as_bytes(make: Maker) -> None:
    blocks = np.arange(2 * 34, dtype=np.uint8).reshape(2, 34)
    rule = Tensor("q", "q.weight", lambda x: x, dtype="Q8_0")
    file = make([("q", "U8", (2, 34), blocks)], [rule])
    assert file.tensors["q.weight"].shape == (2, 32)
    np.testing.assert_array_equal(file.data("q.weight"), blocks.ravel())


def test_extra_tensors_and_metadata(make: Maker) -> None:
    file = make(
        [f32("a.weight", numbers(1))], [Tensor("a", "a")], extra=lambda _: {"x.weight": [1, 2]}
    )
    np.testing.assert_array_equal(values(file, "x.weight"), [1, 2])
    assert file.metadata["general.architecture"] == "toy"
    assert file.metadata["toy.block_count"] == 1
    assert file.metadata["general.license"] == "mit"
    assert "toy.absent" not in file.metadata


def test_of_multimodal_models_the_text_part_is_read(make: Maker) -> None:
    config = {"model_type": "whole", "text_config": {"model_type": "toy_text"}}
    names = ["language_model.model.a", "model.vision.b", "lm_head"]
    rules = [Tensor("model.a", "a"), Tensor("lm_head", "output")]
    file = make([f32(f"{name}.weight", numbers(1)) for name in names], rules, config)
    assert list(file.tensors) == ["a.weight", "output.weight"]


def test_names_may_lack_what_they_begin_with(make: Maker) -> None:
    names = ["embed_tokens", "layers.0.a", "lm_head"]
    rules = [Tensor(f"model.{name}", name) for name in names[:2]] + [Tensor("lm_head", "output")]
    file = make([f32(f"{name}.weight", numbers(2, 2)) for name in names], rules)
    assert list(file.tensors) == ["embed_tokens.weight", "layers.0.a.weight", "output.weight"]


def test_a_class_says_more_than_the_model_type(make: Maker) -> None:
    for classes in (["toy_text"], ["other", 1, "toy"]):
        config = {"model_type": "bert", "architectures": classes}
        assert list(make([f32("a", numbers(1))], [Tensor("a", "b")], config).tensors) == ["b"]


def test_recommended_sampling_comes_along(make: Maker, tmp_path: Path) -> None:
    parameters = {
        "temperature": 1,
        "top_k": 20,
        "top_p": "x",
        "min_p": None,
        "repetition_penalty": 1.1,
    }
    (tmp_path / "generation_config.json").write_text(json.dumps(parameters))
    with pytest.warns(RuntimeWarning, match=r"generation_config\.json: top_p: .*found 'x'"):
        metadata = make([f32("a.weight", numbers(1))], [Tensor("a", "a")]).metadata
    found = {k.rpartition(".")[2]: v for k, v in metadata.items() if ".sampling." in k}
    assert found == {"temp": 1.0, "top_k": 20, "penalty_repeat": 1.1}


ONE = [f32("a.weight", numbers(2, 3))]


@pytest.mark.parametrize(
    ("config", "number"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, 1),
        ({"pooling_mode_cls_token": True, "word_embedding_dimension": 8}, 2),
        ({"pooling_mode_lasttoken": True}, 3),
        ({"pooling_mode": "mean"}, 1),
        ({"pooling_mode": ["cls"]}, 2),
        ({}, 1),
    ],
)
def test_how_to_pool_comes_along(
    config: dict[str, Any], number: int, make: Maker, tmp_path: Path
) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))
    assert make(ONE, [Tensor("a", "a")]).metadata["toy.pooling_type"] == number


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        {"pooling_mode": ["mean", "cls"]},
        {"pooling_mode": "weightedmean"},
        {"pooling_mode": 1},
    ],
)
def test_a_way_to_pool_that_is_not_known_is_refused(
    config: dict[str, Any], make: Maker, tmp_path: Path
) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match="one of mean, cls, lasttoken"):
        make(ONE, [Tensor("a", "a")])


def test_a_matrix_after_pooling_is_refused(make: Maker, tmp_path: Path) -> None:
    for name, config in [("1_Pooling", {"pooling_mode": "mean"}), ("2_Dense", {})]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match="2_Dense"):
        make(ONE, [Tensor("a", "a")])


@pytest.mark.parametrize(
    ("tensors", "rules", "message"),
    [
        (ONE, [Tensor("b", "b")], "'a.weight': expected a name that this architecture has a use"),
        ([("a", "F8_E4M3", (1,), np.uint8(0))], [Tensor("a", "a")], "found F8_E4M3"),
        ([("a", "I32", (1,), np.int32(0))], [Tensor("a", "a")], "found I32"),
        ([("a", "U8", (1,), np.uint8(0))], [Tensor("a", "a")], "found U8"),
        (ONE, [Tensor("a", "a", lambda x: x.reshape(5, -1))], "that config.json implies"),
        (ONE, [Tensor("a", ("a", "b"), lambda x: np.split(x, 1))], "expected 2 parts, found 1"),
        (ONE, [Tensor(("a", "c"), "a", lambda x, y: x + y)], "2 tensors that belong together"),
        ([f32("a", numbers(1, 1, 1, 1, 1))], [Tensor("a", "a")], "1 to 4 dimensions"),
        ([f32("a", numbers(0, 2))], [Tensor("a", "a")], "1 to 4 dimensions above 0"),
        ([f32("e.1", numbers(1))], [Tensor("e.{e}", "a")], "one for each expert, from 0 on"),
        (
            [f32("e.0", numbers(1)), f32("e.1", numbers(2))],
            [Tensor("e.{e}", "a")],
            "one shape for all experts",
        ),
        (
            [f32("a", numbers(1)), f32("b", numbers(1))],
            [Tensor("a", "x"), Tensor("b", "x")],
            "one of them, found two",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    tensors: list[Stored], rules: list[Tensor], message: str, make: Maker
) -> None:
    with pytest.raises(ModelFileError, match=message):
        make(tensors, rules)


def test_an_unknown_model_type_lists_the_nearest_and_all(make: Maker) -> None:
    with pytest.raises(
        UnsupportedModelError, match="the nearest: toy, toy_text; all: toy, toy_text"
    ) as e:
        make(ONE, [], {"model_type": "toys"})
    assert "toys" in str(e.value)


def test_what_a_folder_lacks_is_named(tmp_path: Path, make: Maker) -> None:
    with pytest.raises(ModelFileError, match=r"config\.json"):
        open_checkpoint(tmp_path, {}, lambda *_: {})
    make(ONE, [Tensor("a", "a")]).close()
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    toy = Checkpoint("toy", ("toy",), lambda c: {"x": c["heads"]}, lambda _: [])
    with pytest.raises(ModelFileError, match="heads: expected this key"):
        open_checkpoint(tmp_path, {"toy": toy}, lambda *_: {})
    toy = Checkpoint("toy", ("toy",), lambda c: {"x": 1 // len(c)}, lambda _: [])
    with pytest.raises(ModelFileError, match=r"found pytorch_model\.bin.*as safetensors"):
        open_checkpoint(tmp_path, {"toy": toy}, lambda *_: {})


@pytest.mark.parametrize("config", [b"", b"[]", b"{", b"\xff", b'{"model_type": []}'])
def test_a_damaged_config_is_refused(config: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(config)
    with pytest.raises(ModelFileError, match=r"config\.json"):
        open_checkpoint(tmp_path, {}, lambda *_: {})


def test_numbers_of_blocks_become_metadata(make: Maker) -> None:
    tensors = [(f"h.{i}.beta", "F32", (1,), np.full(1, i + 0.5, np.float32)) for i in range(3)]
    rules = [Tensor("h.{i}.beta", None)]
    file = make(tensors, rules, numbers={"xielu.beta": "h.{i}.beta", "beta": "h.{i}.beta"})
    assert file.metadata["xielu.beta"] == file.metadata["toy.beta"] == [0.5, 1.5, 2.5]
    file.close()


@pytest.mark.parametrize(
    ("dtype", "values"),
    [("F32", [1.0, 2.0]), ("F32", [np.nan]), ("F32", [np.inf]), ("U8", [1])],
)
def test_what_is_no_number_is_refused(make: Maker, dtype: str, values: list[float]) -> None:
    array = np.array(values, np.uint8 if dtype == "U8" else np.float32)
    stored = [("h.0.beta", dtype, array.shape, array)]
    with pytest.raises(ModelFileError, match="one finite number"):
        make(stored, [Tensor("h.{i}.beta", None)], numbers={"beta": "h.{i}.beta"})
