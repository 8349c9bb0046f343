"""What load() may be given in place of what the model file says: rotation, tokenizer, memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import llmpy
from tests.arch import checkpoints

Data = Callable[[str], Path]
STORIES = "weights/stories260K/stories260K.gguf"
TEXT = "Once upon a time, there was a little girl."


@pytest.fixture
def path(shared_data: Data) -> Path:
    return shared_data(STORIES)


class Own:
    """A tokenizer of somebody else, around one of llmpy's."""

    def __init__(self, inner: llmpy.Tokenizer) -> None:
        self.n_vocab, self.bos, self.end_ids = inner.n_vocab, inner.bos, inner.end_ids
        self._inner = inner
        self.texts: list[str] = []

    def encode(self, text: str, /) -> Iterable[int]:
        self.texts.append(text)
        return self._inner.encode(text)

    def piece(self, token: int, /) -> bytes:
        return self._inner.piece(token)

    def is_control(self, token: int, /) -> bool:
        return self._inner.is_control(token)


def logits(model: llmpy.Model, ids: Sequence[int]) -> NDArray[np.float32]:
    return np.concatenate([rows.copy() for rows in model.logits(ids)])


def test_copied_weights_say_the_same_and_the_file_may_go(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model.gguf"
    shutil.copy(path, copy)
    with llmpy.load(path) as mapped, llmpy.load(copy, mmap=False) as copied:
        copy.write_bytes(b"")  # a map of it would end the process now
        ids = mapped.tokenizer.encode(TEXT, bos=True)
        np.testing.assert_array_equal(logits(mapped, ids), logits(copied, ids))


def test_base_and_scale_take_the_place_of_the_files(tmp_path: Path) -> None:
    golden = checkpoints.load_golden("llama")
    config: dict[str, Any] = dict(golden.about["config"])
    weights = golden.weights(checkpoints.spec("llama"))
    checkpoints.write(tmp_path / "as-it-is", config, weights)
    scaling = {"type": "linear", "factor": 4.0}
    changed = {**config, "rope_theta": 5000.0, "rope_scaling": scaling, "rope_parameters": None}
    checkpoints.write(tmp_path / "changed", changed, weights)
    ids = [int(t) for t in checkpoints.prompt(40)]
    rope = {"freq_base": 5000.0, "freq_scale": 0.25}
    with (
        llmpy.load(tmp_path / "as-it-is", rope=rope) as overridden,
        llmpy.load(tmp_path / "changed") as told,
        llmpy.load(tmp_path / "as-it-is") as plain,
    ):
        found = logits(overridden, ids)
        np.testing.assert_array_equal(found, logits(told, ids))
        assert np.abs(found - logits(plain, ids)).max() > 1e-3


def test_a_stretched_context_is_no_reason_to_warn(path: Path) -> None:
    with llmpy.load(path, n_ctx=1024, rope={"freq_scale": 0.5}) as model:
        assert model.n_ctx == 1024


@pytest.mark.parametrize(
    ("rope", "error", "message"),
    [
        ({"base": 1.0}, ValueError, "rope: expected one of freq_base, .* found 'base'"),
        ({"freq_base": 0.5}, ValueError, "rope: freq_base: expected a number from 1 to"),
        ({"freq_scale": 0}, ValueError, "rope: freq_scale"),
        ({"freq_scale": float("nan")}, ValueError, "rope: freq_scale"),
        ({"freq_scale": True}, TypeError, "rope: freq_scale: expected a positive number"),
        ({"scaling": "ntk"}, ValueError, "expected one of none, linear, yarn, found 'ntk'"),
        ({"original_context": 0}, ValueError, "rope: original_context"),
        (10_000.0, TypeError, "rope: expected a mapping of"),
    ],
)
def test_other_overrides_are_refused(
    path: Path, rope: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        llmpy.load(path, rope=rope)


def test_a_model_that_does_not_rotate_has_nothing_to_override(tmp_path: Path) -> None:
    golden = checkpoints.load_golden("gpt2")
    weights = golden.weights(checkpoints.spec("gpt2"))
    checkpoints.write(tmp_path / "gpt2", golden.about["config"], weights)
    with pytest.raises(ValueError, match="'gpt2' has no freq_base that could be overridden"):
        llmpy.load(tmp_path / "gpt2", rope={"freq_base": 10_000.0})


def test_a_tokenizer_of_ones_own_is_asked_for_texts(path: Path) -> None:
    own = Own(llmpy.load_tokenizer(path))
    with llmpy.load(path, tokenizer=own) as model, llmpy.load(path) as usual:
        texts = [m.generate(TEXT, max_tokens=8, seed=1).text for m in (model, usual)]
        assert texts[0].lstrip() == texts[1].lstrip()
        assert own.texts == [TEXT]
        assert model.tokenizer.end_ids == usual.tokenizer.end_ids


def test_control_tokens_in_a_text_never_reach_a_tokenizer_of_ones_own(path: Path) -> None:
    own = Own(llmpy.load_tokenizer(path))
    with llmpy.load(path, tokenizer=own) as model:
        ids = model.tokenizer.encode("one</s>two", special=True)
        assert own.texts == ["one", "two"]
        assert model.tokenizer.eos in ids


def test_ids_of_a_tokenizer_of_ones_own_are_checked(path: Path) -> None:
    class Wild(Own):
        def encode(self, text: str, /) -> Iterable[int]:
            return [len(text), 10**6]

    wild = Wild(llmpy.load_tokenizer(path))
    with (
        llmpy.load(path, tokenizer=wild) as model,
        pytest.raises(llmpy.TokenizerError, match=r"token id 1: expected 0 to 511, found 1000000"),
    ):
        model.session().feed(TEXT)


@pytest.mark.parametrize("given", [3, object(), Own, {"n_vocab": 3}])
def test_what_is_no_tokenizer_is_refused(path: Path, given: Any) -> None:
    with pytest.raises(TypeError, match="tokenizer: expected a path, or an object with"):
        llmpy.load(path, tokenizer=given)


def test_a_tokenizer_json_takes_the_place_of_the_files(smollm2: Path, tmp_path: Path) -> None:
    usual = llmpy.load_tokenizer(smollm2)
    tokens = [usual.token(i) for i in range(usual.n_vocab)]
    swapped = dict(zip(tokens, range(len(tokens)), strict=True))
    swapped["a"], swapped["b"] = swapped["b"], swapped["a"]
    added = [
        {"id": i, "content": t, "special": True}
        for i, t in enumerate(tokens)
        if usual.is_control(i)
    ]
    content = {
        "model": {"type": "BPE", "vocab": swapped, "merges": []},
        "added_tokens": added,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
    }
    file = tmp_path / "words.json"
    file.write_text(json.dumps(content))
    with llmpy.load(smollm2, tokenizer=file, n_ctx=64) as model:
        assert model.tokenizer.encode("ab") == usual.encode("b") + usual.encode("a")
        assert model.tokenizer.eos == usual.eos  # which a tokenizer.json alone does not say


def test_a_tokenizer_of_another_model_that_is_too_small_is_refused(
    path: Path, smollm2: Path
) -> None:
    with pytest.raises(llmpy.ModelFileError, match="about 512 tokens"):
        llmpy.load(path, tokenizer=smollm2)
