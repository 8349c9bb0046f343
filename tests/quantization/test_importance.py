"""Importance: what is collected, and the files it is kept in."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llmpy
from llmpy.dtypes import BY_NAME
from llmpy.format import write_gguf
from tests.arch import checkpoints

pytestmark = pytest.mark.filterwarnings("ignore:.*no whole number of blocks:RuntimeWarning")

IMPORTANCE = llmpy.Importance(
    {"blk.0.attn_q.weight": np.array([[1, 4, 9]], np.float32),
     "blk.0.ffn_up_exps.weight": np.array([[1, 2, 3], [4, 5, 6]], np.float32)},
    {"blk.0.attn_q.weight": np.array([2], np.float32),
     "blk.0.ffn_up_exps.weight": np.array([0, 10], np.float32)},
    5, 512, ["a book"],
)  # fmt: skip


def old_file(calls: int = 2, values: tuple[float, ...] = (1.0, 4.0)) -> bytes:
    """One entry in the older form."""
    name = b"blk.0.attn_q.weight"
    data = struct.pack("<ii", 1, len(name)) + name
    data += struct.pack(f"<ii{len(values)}f", calls, len(values), *values)
    return data + struct.pack("<ii", 7, 4) + b"text"


def test_written_then_read_is_the_same(tmp_path: Path) -> None:
    llmpy.write_importance(tmp_path / "i.gguf", IMPORTANCE)
    found = llmpy.read_importance(tmp_path / "i.gguf")
    assert found.sums.keys() == IMPORTANCE.sums.keys()
    for name in IMPORTANCE.sums:
        assert (found.sums[name] == IMPORTANCE.sums[name]).all()
        assert (found.counts[name] == IMPORTANCE.counts[name]).all()
    assert (found.chunks, found.chunk_size, list(found.datasets)) == (5, 512, ["a book"])


def test_the_file_is_as_the_ecosystem_has_it(tmp_path: Path) -> None:
    llmpy.write_importance(tmp_path / "i.gguf", IMPORTANCE)
    reader = gguf.GGUFReader(tmp_path / "i.gguf")
    assert reader.fields["general.type"].contents() == "imatrix"
    assert reader.fields["imatrix.chunk_count"].contents() == 5
    shapes = {t.name: [int(n) for n in t.shape] for t in reader.tensors}
    assert shapes == {
        "blk.0.attn_q.weight.in_sum2": [3, 1],
        "blk.0.attn_q.weight.counts": [1, 1],
        "blk.0.ffn_up_exps.weight.in_sum2": [3, 2],
        "blk.0.ffn_up_exps.weight.counts": [1, 2],
    }


def test_means_are_sums_over_counts_and_ones_without() -> None:
    means = IMPORTANCE.of("blk.0.ffn_up_exps.weight")
    assert means is not None
    assert means.tolist() == [[1, 1, 1], [pytest.approx(0.4), 0.5, pytest.approx(0.6)]]
    assert IMPORTANCE.of("output.weight") is None


def test_the_older_form_is_read(tmp_path: Path) -> None:
    (tmp_path / "i.dat").write_bytes(old_file())
    found = llmpy.read_importance(tmp_path / "i.dat")
    assert found.of("blk.0.attn_q.weight").tolist() == [[0.5, 2.0]]  # type: ignore[union-attr]
    assert (found.chunks, found.datasets) == (7, ["text"])


@pytest.mark.parametrize("length", range(len(old_file()) - 12))
def test_every_truncation_of_the_older_form_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / "i.dat").write_bytes(old_file()[:length])
    with pytest.raises(llmpy.ModelFileError, match="importance"):
        llmpy.read_importance(tmp_path / "i.dat")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(old_file()) - 1), byte=st.integers(0, 255))
def test_damage_to_the_older_form_is_a_typed_error(tmp_path: Path, at: int, byte: int) -> None:
    data = bytearray(old_file())
    data[at] = byte
    (tmp_path / "i.dat").write_bytes(data)
    with contextlib.suppress(llmpy.ModelFileError):
        llmpy.read_importance(tmp_path / "i.dat")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_numbers_that_cannot_be_are_refused(tmp_path: Path, bad: float) -> None:
    for name in ("sums", "counts"):
        sums, counts = np.ones((1, 3), np.float32), np.ones(1, np.float32)
        (sums if name == "sums" else counts).flat[0] = bad
        llmpy.write_importance(tmp_path / "i.gguf", llmpy.Importance({"a": sums}, {"a": counts}))
        with pytest.raises(llmpy.ModelFileError, match=f"{name} of 'a'"):
            llmpy.read_importance(tmp_path / "i.gguf")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a.in_sum2": (1, 3)}, "sums and counts"),
        ({"a.counts": (1, 1)}, "sums and counts"),
        ({"a.in_sum2": (2, 3), "a.counts": (3, 1)}, "expected 2 numbers, found 3"),
        ({"a.weight": (2, 3)}, "no file of importances"),
        ({"a.in_sum2": (2, 2, 3), "a.counts": (2, 1)}, "no file of importances"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, tensors: dict[str, tuple[int, ...]], message: str
) -> None:
    f32 = BY_NAME["F32"]
    made = [(name, f32, shape, np.ones(shape, np.float32)) for name, shape in tensors.items()]
    write_gguf(tmp_path / "i.gguf", {"general.type": "imatrix"}, made)
    with pytest.raises(llmpy.ModelFileError, match=message):
        llmpy.read_importance(tmp_path / "i.gguf")


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_collecting_sums_the_squares_of_what_products_are_fed(
    stories: Path, text: str, backend: Any
) -> None:
    found = llmpy.collect_importance(
        stories, text, n_ctx=64, n_windows=2, name="book", backend=backend
    )
    with llmpy.open_gguf(stories) as file:
        products = {n for n, t in file.tensors.items() if n[:4] == "blk." and len(t.shape) == 2}
        for name in products:
            assert found.sums[name].shape == (1, file.tensors[name].shape[-1])
            assert found.counts[name].tolist() == [128]
    assert found.sums.keys() == products
    assert (found.chunks, found.chunk_size, found.datasets) == (2, 64, ["book"])
    # queries, keys and values are fed the same
    assert (found.sums["blk.3.attn_q.weight"] == found.sums["blk.3.attn_v.weight"]).all()


def test_the_first_product_is_fed_normed_embeddings(stories: Path, text: str) -> None:
    from llmpy import quant

    found = llmpy.collect_importance(stories, text, n_ctx=32, n_windows=1)
    with llmpy.open_gguf(stories) as file:
        table, norm = (
            quant.dequantize(file.tensors[n].dtype, file.data(n), file.tensors[n].shape)
            for n in ("token_embd.weight", "blk.0.attn_norm.weight")
        )
    model = llmpy.load_tokenizer(stories)
    ids = [model.bos, *model.encode(text, bos=True, start=True)[1:32]]
    x = table[ids].astype(np.float64)
    x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5) * norm
    expected = (x * x).sum(axis=0)
    assert found.sums["blk.0.attn_q.weight"][0] == pytest.approx(expected, rel=1e-4)


def test_importance_lowers_the_loss(stories: Path, tmp_path: Path, model: llmpy.Model,
                                    text: str) -> None:  # fmt: skip
    importance = llmpy.collect_importance(stories, text, n_ctx=128, n_windows=6)
    distances = []
    for weighed in (None, importance):
        (out,) = llmpy.quantize(
            stories, tmp_path / "q.gguf", "Q4_1", importance=weighed, keep={"*ffn_down*": "F16"}
        )
        with llmpy.load(out, kv_dtype="f32") as small:
            distances.append(llmpy.divergence(small, model, text, n_ctx=128, n_windows=4).mean)
    assert distances[1] < distances[0]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_experts_have_sums_of_their_own(tmp_path: Path, backend: Any) -> None:
    from tools import random_gguf

    path = tmp_path / "mixtral.gguf"
    random_gguf.main(["tiny-mixtral", str(path), "--type", "f32"])
    text = "a story of letters " * 30
    found = llmpy.collect_importance(path, text, n_ctx=32, n_windows=3, backend=backend)
    up, down = (found.counts[f"blk.0.ffn_{part}_exps.weight"] for part in ("up", "down"))
    assert up.shape == (4,)
    assert (up == down).all()
    assert up.sum() == 3 * 32 * 2  # two experts for each token
    assert found.sums["blk.0.ffn_down_exps.weight"].shape == (4, 96)


@pytest.mark.parametrize("name", ["mixtral", "deepseek-v2"])
def test_native_code_sums_what_the_reference_does(tmp_path: Path, name: str) -> None:
    """Experts, products by head, and products that share an input."""
    golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
    path = checkpoints.write(tmp_path / "model", golden.about["config"], golden.weights(spec))
    ours, reference = (
        llmpy.collect_importance(
            path, "aabb" * 60, n_ctx=40, n_windows=2, output=True, backend=backend
        )
        for backend in ("cpu", "reference")
    )
    assert ours.sums.keys() == reference.sums.keys()
    for tensor, squares in reference.sums.items():
        np.testing.assert_array_equal(ours.counts[tensor], reference.counts[tensor], tensor)
        near = 1e-4 * squares.max()
        np.testing.assert_allclose(ours.sums[tensor], squares, atol=near, err_msg=tensor)
