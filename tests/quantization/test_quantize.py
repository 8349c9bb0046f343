"""quantize(): what it writes, what it says, what it refuses, and that it leaves no halves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import llmpy
from llmpy import ffi, quant
from llmpy.dtypes import BY_NAME
from llmpy.format import write_gguf

pytestmark = pytest.mark.filterwarnings("ignore:.*no whole number of blocks:RuntimeWarning")


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Tensors of a model, though it is none: rows of 512, F16 and F32, and three experts."""
    random = np.random.default_rng(1)

    def values(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 0.1).astype(np.float32)

    tensors = [
        ("token_embd.weight", BY_NAME["F16"], (8, 512), values(8, 512).astype(np.float16)),
        ("blk.0.ffn_down_exps.weight", BY_NAME["F32"], (3, 4, 512), values(3, 4, 512)),
        ("blk.0.attn_q.weight", BY_NAME["F32"], (6, 512), values(6, 512)),
        ("output_norm.weight", BY_NAME["F32"], (512,), values(512)),
    ]
    keys = {"general.architecture": "llama", "llama.block_count": 1, "a.list": [1, 2, 3]}
    write_gguf(tmp_path / "wide.gguf", keys, tensors)
    return tmp_path / "wide.gguf"


def types(path: Path) -> dict[str, str]:
    with llmpy.open_gguf(path) as file:
        return {name: str(info.dtype) for name, info in file.tensors.items()}


def values(path: Path, name: str) -> np.ndarray:
    with llmpy.open_gguf(path) as file:
        info = file.tensors[name]
        return quant.dequantize(info.dtype, file.data(name), info.shape)


@pytest.mark.parametrize("kind", ["Q4_K_M", "q8_0", "IQ4_XS", "f16", "BF16", "Q3_K"])
def test_the_file_has_the_bytes_of_the_definitions(wide: Path, tmp_path: Path, kind: str) -> None:
    (out,) = llmpy.quantize(wide, tmp_path / "out.gguf", kind)
    with llmpy.open_gguf(out) as file:
        for name, info in file.tensors.items():
            assert (file.data(name) == quant.quantize(info.dtype, values(wide, name)).ravel()).all()


def test_metadata_goes_along_and_the_file_type_is_set(wide: Path, tmp_path: Path) -> None:
    (out,) = llmpy.quantize(wide, tmp_path / "out.gguf", "Q5_K_S")
    with llmpy.open_gguf(out) as file:
        assert file.metadata["general.file_type"] == 16
        assert file.metadata["general.quantization_version"] == 2
        assert list(file.metadata["a.list"]) == [1, 2, 3]


def test_events_tell_what_happens(wide: Path, tmp_path: Path) -> None:
    events: list[llmpy.QuantizeEvent] = []
    (out,) = llmpy.quantize(wide, tmp_path / "out.gguf", "Q4_0", progress=events.append)
    kinds = [e.kind for e in events]
    assert kinds == ["loading", *["quantizing", "quantized"] * 3, "skipped", "finished"]
    done = events[2]
    assert (done.name, done.source, done.target) == ("token_embd.weight", "F16", "Q6_K")
    assert (done.bytes_before, done.bytes_after) == (8 * 512 * 2, 8 * 2 * 210)
    x, y = values(wide, done.name), values(out, done.name)
    assert done.error == pytest.approx(np.sqrt(np.square(x - y).sum() / np.square(x).sum()), 1e-3)
    assert "keeps its type" in events[-2].reason
    assert events[-1].bytes_after == out.stat().st_size
    assert [e.done for e in events] == sorted(e.done for e in events)


def test_an_exception_of_progress_cancels_and_leaves_nothing(wide: Path, tmp_path: Path) -> None:
    def stop(event: llmpy.QuantizeEvent) -> None:
        if event.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        llmpy.quantize(wide, tmp_path / "out.gguf", "Q4_0", progress=stop)
    assert os.listdir(tmp_path) == ["wide.gguf"]


def test_importance_is_each_experts_own(wide: Path, tmp_path: Path) -> None:
    name = "blk.0.ffn_down_exps.weight"
    weights = np.exp(np.random.default_rng(2).standard_normal((3, 512)) * 2).astype(np.float32)
    importance = llmpy.Importance({name: weights}, {name: np.ones(3, np.float32)})
    (out,) = llmpy.quantize(wide, tmp_path / "o.gguf", "Q4_K", importance=importance, pure=True)
    x = values(wide, name)
    expected = [quant.quantize("Q4_K", x[e], weights[e]) for e in range(3)]
    with llmpy.open_gguf(out) as file:
        assert (file.data(name) == np.concatenate(expected).ravel()).all()


def test_importance_of_another_model_is_refused(wide: Path, tmp_path: Path) -> None:
    name = "blk.0.attn_q.weight"
    wrong = llmpy.Importance({name: np.ones((1, 256), np.float32)}, {name: np.ones(1, np.float32)})
    with pytest.raises(llmpy.ModelFileError, match=r"attn_q.*\[1, 512\] numbers, found \[1, 256\]"):
        llmpy.quantize(wide, tmp_path / "o.gguf", "Q4_K", importance=wrong)


def test_patterns_choose_types(wide: Path, tmp_path: Path) -> None:
    keep = {"*attn_q*": "bf16", "output_norm.weight": "F16"}
    (out,) = llmpy.quantize(wide, tmp_path / "out.gguf", "Q4_0", keep=keep)
    assert types(out) == {
        "token_embd.weight": "Q6_K",
        "blk.0.ffn_down_exps.weight": "Q4_0",
        "blk.0.attn_q.weight": "BF16",
        "output_norm.weight": "F16",
    }


@pytest.mark.parametrize("pattern", ["blk.7.*", "*norm*"])
def test_a_pattern_that_decides_nothing_is_warned_of(
    wide: Path, tmp_path: Path, pattern: str
) -> None:
    with pytest.warns(RuntimeWarning, match=f"keep '{pattern}'".replace("*", r"\*")):
        llmpy.quantize(wide, tmp_path / "out.gguf", "Q4_0", keep={pattern: "F16"})


def test_without_native_code_the_bytes_are_the_same(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (out,) = llmpy.quantize(wide, tmp_path / "a.gguf", "Q4_K_M")
    monkeypatch.setattr(ffi, "available", lambda: False)
    (other,) = llmpy.quantize(wide, tmp_path / "b.gguf", "Q4_K_M")
    assert out.read_bytes() == other.read_bytes()


def test_rows_that_do_not_divide_get_a_named_type(stories: Path, tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match=r"ffn_down.*|token_embd.weight \(Q4_K -> Q5_0\)"):
        llmpy.quantize(stories, tmp_path / "out.gguf", "Q4_K_M")
    found = types(tmp_path / "out.gguf")
    assert found["blk.0.ffn_down.weight"] == "F16"
    assert found["output.weight"] == "Q8_0"


@pytest.mark.parametrize("kind", ["Q4_K_M", "Q2_K", "IQ4_XS", "MXFP4"])
def test_a_quantized_model_runs(stories: Path, tmp_path: Path, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (out,) = llmpy.quantize(stories, tmp_path / "out.gguf", kind)
        model = llmpy.load(out)
    session = model.session(sampler=llmpy.greedy())
    text = "".join(p.text for p in session.stream("Once upon a time", max_tokens=8))
    assert text.startswith("Once upon a time")


def test_what_is_quantized_already_is_refused(wide: Path, tmp_path: Path) -> None:
    (once,) = llmpy.quantize(wide, tmp_path / "once.gguf", "Q4_0")
    with pytest.raises(llmpy.ModelFileError, match=r"found Q6_K.*--allow-requantize"):
        llmpy.quantize(once, tmp_path / "twice.gguf", "Q8_0")
    llmpy.quantize(once, tmp_path / "twice.gguf", "Q8_0", allow_requantize=True)
    assert types(tmp_path / "twice.gguf")["token_embd.weight"] == "Q8_0"


def test_the_same_types_are_refused(wide: Path, tmp_path: Path) -> None:
    (once,) = llmpy.quantize(wide, tmp_path / "once.gguf", "Q4_0")
    with pytest.raises(llmpy.ModelFileError, match="--allow-same"):
        llmpy.quantize(once, tmp_path / "twice.gguf", "Q4_0")
    (twice,) = llmpy.quantize(once, tmp_path / "twice.gguf", "Q4_0", allow_same=True)
    assert twice.read_bytes() == once.read_bytes()


def test_in_place_is_refused_and_can_be_asked_for(wide: Path) -> None:
    before = wide.read_bytes()
    with pytest.raises(llmpy.ModelFileError, match="--in-place"):
        llmpy.quantize(wide, wide.parent / "." / wide.name, "Q4_0")
    assert wide.read_bytes() == before
    llmpy.quantize(wide, wide, "Q4_0", allow_in_place=True)
    assert types(wide)["blk.0.attn_q.weight"] == "Q4_0"


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_values_that_a_type_cannot_hold_are_named(tmp_path: Path, bad: float) -> None:
    x = np.full((2, 256), 0.5, np.float32)
    x[1, 77] = bad
    path = tmp_path / "in.gguf"
    keys = {"general.architecture": "llama"}
    write_gguf(path, keys, [("blk.0.attn_q.weight", BY_NAME["F32"], x.shape, x)])
    for kind in ("Q4_K", "Q8_0", "Q4_1"):
        with pytest.raises(llmpy.ModelFileError, match=r"blk.0.attn_q.weight.*--keep"):
            llmpy.quantize(path, tmp_path / "out.gguf", kind)
    assert os.listdir(tmp_path) == ["in.gguf"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"kind": "q9"}, "Q4_K_M"), ({"kind": "Q4_0", "keep": {"a": "IQ1_S"}}, "IQ1_S")],
)
def test_unknown_types_are_named(wide: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        llmpy.quantize(wide, wide.parent / "out.gguf", **arguments)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal on this system")
def test_a_killed_process_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    source, out = tmp_path / "in.gguf", tmp_path / "out.gguf"
    x = np.random.default_rng(3).standard_normal((4, 512, 1024)).astype(np.float32)
    tensors = [(f"blk.{i}.attn_q.weight", BY_NAME["F32"], m.shape, m) for i, m in enumerate(x)]
    write_gguf(source, {"general.architecture": "llama", "llama.block_count": 4}, tensors)
    llmpy.quantize(source, tmp_path / "new.gguf", "Q4_K")
    new = (tmp_path / "new.gguf").read_bytes()
    code = "import sys, llmpy; llmpy.quantize(*sys.argv[1:])"
    seen = set()
    for delay in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, None):
        out.write_bytes(b"old")
        process = subprocess.Popen([sys.executable, "-c", code, source, out, "Q4_K"])
        begin = time.monotonic()
        while process.poll() is None:
            busy = list(tmp_path.glob(".out.gguf*"))  # it has begun to write
            if delay is not None and busy and time.monotonic() - begin > delay:
                process.kill()
                break
            time.sleep(0.002)
        process.wait()
        found = out.read_bytes()
        assert found in (b"old", new)
        seen.add(found)
    assert new in seen
