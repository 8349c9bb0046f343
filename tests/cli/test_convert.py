"""convert(): a checkpoint and the GGUF file made of it are the same model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy import quant
from llmpy.checkpoint.open import open_model
from llmpy.errors import ModelFileError
from llmpy.format import ModelFile, open_gguf, write_gguf
from tests.arch import checkpoints
from tests.cli.conftest import STORIES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a tiny Mixtral."""
    golden = checkpoints.load_golden("mixtral")
    weights = golden.weights(checkpoints.spec("mixtral"))
    return checkpoints.write(
        tmp_path_factory.mktemp("convert") / "mixtral", golden.about["config"], weights
    )


def tensors(file: ModelFile) -> dict[str, Any]:
    return {name: (i.dtype, i.shape, file.data(name).tobytes()) for name, i in file.tensors.items()}


def test_the_file_has_what_the_checkpoint_has(folder: Path, tmp_path: Path) -> None:
    out = llmpy.convert(folder, tmp_path / "x.gguf")
    with open_model(folder) as before, open_gguf(out) as after:
        assert tensors(after) == tensors(before)
        for key, value in before.metadata.items():
            np.testing.assert_equal(after.metadata[key], value, key)
        assert after.kinds["llama.block_count"] == "u32"
        assert after.kinds["llama.rope.freq_base"] == "f32"
        assert after.metadata["general.file_type"] == 0
        assert after.metadata["general.quantization_version"] == 2


def test_both_say_the_same(folder: Path, tmp_path: Path) -> None:
    out = llmpy.convert(folder, tmp_path / "x.gguf")
    tokens = []
    for path in (folder, out):
        with llmpy.load(path, n_ctx=64, backend="reference") as model:
            session = model.session(sampler=llmpy.greedy())
            session.feed("aabb")
            tokens.append([session.next_token() for _ in range(8)])
    assert tokens[0] == tokens[1]


@pytest.mark.parametrize("kind", ["f16", "bf16", "q8_0"])
def test_matrices_get_the_type_and_the_rest_is_f32(kind: str, folder: Path, tmp_path: Path) -> None:
    out = llmpy.convert(folder, tmp_path / "x.gguf", type=kind)
    with open_model(folder) as before, open_gguf(out) as after:
        for name, info in after.tensors.items():
            plain = len(info.shape) == 1 or "ffn_gate_inp" in name
            assert str(info.dtype) == ("F32" if plain else kind.upper()), name
            was = before.tensors[name]
            exact = quant.dequantize(was.dtype, before.data(name), was.shape)
            expected = quant.quantize(info.dtype, exact).tobytes()
            assert after.data(name).tobytes() == expected, name
        assert after.metadata["general.file_type"] in (1, 32, 7)


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "q4_k_m"])
@pytest.mark.filterwarnings("ignore:.*no whole number of blocks")
def test_a_mixture_is_that_of_quantize(kind: str, folder: Path, tmp_path: Path) -> None:
    out = llmpy.convert(folder, tmp_path / "x.gguf", type=kind)
    plain = llmpy.convert(folder, tmp_path / "plain.gguf")
    (other,) = llmpy.quantize(plain, tmp_path / "y.gguf", kind)
    with open_gguf(out) as ours, open_gguf(other) as theirs:
        assert tensors(ours) == tensors(theirs)
        assert ours.metadata["general.file_type"] == theirs.metadata["general.file_type"]


def test_what_has_blocks_is_not_rounded_again(folder: Path, tmp_path: Path) -> None:
    once = llmpy.convert(folder, tmp_path / "once.gguf", type="q8_0")
    with pytest.raises(ModelFileError, match=r"found Q8_0.*Requantizing compounds the error"):
        llmpy.convert(once, tmp_path / "twice.gguf", type="q4_0")
    again = llmpy.convert(once, tmp_path / "again.gguf")
    with open_gguf(once) as first, open_gguf(again) as second:
        assert tensors(first) == tensors(second)


def test_weights_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    golden = checkpoints.load_golden("llama")
    weights = golden.weights(checkpoints.spec("llama"))
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = np.nan
    broken = checkpoints.write(tmp_path / "broken", golden.about["config"], weights)
    with pytest.raises(ModelFileError, match=r"blk\.1\.ffn_up\.weight' values"):
        llmpy.convert(broken, tmp_path / "x.gguf", type="q8_0")
    assert not (tmp_path / "x.gguf").exists()


def test_a_file_is_converted_again(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    stories = shared_data(STORIES)
    with pytest.warns(RuntimeWarning, match=r"no whole number of blocks.*blk.*Q4_0 -> F16"):
        out = llmpy.convert(stories, tmp_path / "x.gguf", type="q4_0")
    with open_gguf(stories) as before, open_gguf(out) as after:
        assert after.tensors.keys() == before.tensors.keys()
        assert str(after.tensors["blk.0.ffn_down.weight"].dtype) == "F16"
        assert str(after.tensors["blk.0.ffn_up.weight"].dtype) == "Q4_0"
        assert after.kinds["tokenizer.ggml.scores"] == before.kinds["tokenizer.ggml.scores"]


def test_events_tell_how_far_it_is(folder: Path, tmp_path: Path) -> None:
    events: list[llmpy.ConvertEvent] = []
    out = llmpy.convert(folder, tmp_path / "x.gguf", type="f16", progress=events.append)
    assert [events[0].kind, events[-1].kind] == ["metadata", "done"]
    assert [e.name for e in events[1:-1]] == list(open_gguf(out).tensors)
    assert events[-2].bytes_done == events[-1].bytes_total
    assert {e.dtype for e in events[1:-1]} == {"F16", "F32"}


def test_an_exception_of_progress_cancels_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    def stop(event: llmpy.ConvertEvent) -> None:
        if event.kind == "tensor":
            raise KeyboardInterrupt

    (tmp_path / "x.gguf").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        llmpy.convert(folder, tmp_path / "x.gguf", progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["x.gguf"]
    assert (tmp_path / "x.gguf").read_bytes() == b"before"


def test_a_type_that_cannot_be_made_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"type: expected one of .*Q8_0.*, found 'q9'"):
        llmpy.convert(folder, tmp_path / "x.gguf", type="q9")


def test_half_precision_checkpoints_keep_their_bytes(tmp_path: Path) -> None:
    golden = checkpoints.load_golden("llama")
    half = {
        name: (w.view(np.uint32) >> 16).astype(np.uint16)
        for name, w in golden.weights(checkpoints.spec("llama")).items()
    }
    at = checkpoints.write(tmp_path / "half", golden.about["config"], half)
    with open_model(at) as file:
        assert str(file.tensors["blk.0.ffn_up.weight"].dtype) == "BF16"
        up = file.data("blk.0.ffn_up.weight").view(np.uint16)
        np.testing.assert_array_equal(up, half["model.layers.0.mlp.up_proj.weight"].ravel())
        assert str(file.tensors["blk.0.attn_norm.weight"].dtype) == "F32"


def test_the_command(run: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.gguf"
    done = run("convert", folder, out, "--type", "q8_0")
    assert done.code == 0
    assert done.out == ""
    assert done.err.startswith(f"wrote {out}: ")
    shown = run("info", "-m", out)
    assert "Q8_0" in shown.out
    assert run("convert", folder, out, "-q").err == ""
    failed = run("convert", tmp_path, tmp_path / "y.gguf")
    assert failed.code == 1
    assert "config.json" in failed.err
    assert run("info", "-m", folder).code == 0


def test_a_folder_without_a_tokenizer_says_so(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(folder / name)
    with pytest.raises(ModelFileError, match=r"tokenizer\.ggml\.model"):
        llmpy.load(tmp_path, backend="reference")


def test_fused_experts_are_the_same_as_single_ones(folder: Path, tmp_path: Path) -> None:
    golden = checkpoints.load_golden("mixtral")
    weights = golden.weights(checkpoints.spec("mixtral"))
    n_expert = golden.about["config"]["num_local_experts"]
    for i in range(golden.about["config"]["num_hidden_layers"]):
        at = f"model.layers.{i}"
        gate, down, up = (
            np.stack(
                [
                    weights.pop(f"{at}.block_sparse_moe.experts.{e}.w{n}.weight")
                    for e in range(n_expert)
                ]
            )
            for n in (1, 2, 3)
        )
        weights[f"{at}.mlp.experts.gate_up_proj"] = np.concatenate([gate, up], axis=1)
        weights[f"{at}.mlp.experts.down_proj"] = down
        router = weights.pop(f"{at}.block_sparse_moe.gate.weight")
        weights[f"{at}.mlp.gate.weight"] = router
    fused = checkpoints.write(tmp_path / "fused", golden.about["config"], weights)
    with open_model(folder) as single, open_model(fused) as other:
        assert tensors(single) == tensors(other)


def test_values_too_large_for_f16_are_refused_by_name(tmp_path: Path) -> None:
    golden = checkpoints.load_golden("llama")
    weights = golden.weights(checkpoints.spec("llama"))
    name = "model.layers.0.self_attn.q_proj.weight"
    weights[name][0, :2] = 65519.0, -70000.0
    folder = checkpoints.write(tmp_path / "large", golden.about["config"], weights)
    with pytest.raises(ModelFileError, match=r"blk\.0\.attn_q.*65504.*1 like -70000.*BF16"):
        llmpy.convert(folder, tmp_path / "x.gguf", type="f16")
    assert not (tmp_path / "x.gguf").exists()
    llmpy.convert(folder, tmp_path / "x.gguf", type="bf16")


def test_what_could_not_be_loaded_is_not_written(folder: Path, tmp_path: Path) -> None:
    with open_model(folder) as file:
        keys = dict(file.metadata)
        kept = [(n, i.dtype, i.shape, file.data(n)) for n, i in file.tensors.items() if n[0] == "b"]
        write_gguf(tmp_path / "half.gguf", keys, kept)
    with pytest.raises(ModelFileError, match=r"half.gguf.*token_embd.weight"):
        llmpy.convert(tmp_path / "half.gguf", tmp_path / "out.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["half.gguf"]


def test_what_was_written_is_checked_before_it_gets_its_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.gguf"
    out.write_bytes(b"old")
    checked: list[Path] = []

    def check(file: ModelFile) -> None:
        checked.append(file.path)
        if len(checked) == 2:
            raise ModelFileError(file.path, "a", "b", "c")

    monkeypatch.setattr(llmpy.checkpoint.convert, "check_model", check)
    with pytest.raises(ModelFileError):
        llmpy.convert(folder, out)
    assert checked[0] == folder
    assert checked[1].parent == tmp_path
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]
