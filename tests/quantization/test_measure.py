"""Perplexity and divergence: hand-made numbers, the other engine's, and what they must agree on."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import llmpy
from llmpy.quantization import measure

pytestmark = pytest.mark.filterwarnings("ignore:.*no whole number of blocks:RuntimeWarning")
PEER = (55.1165, 5.39594)  # what tools/peer_perplexity.py says


def test_perplexity_is_the_other_engines(
    model: llmpy.Model, shared_data: Callable[[str], Path]
) -> None:
    text = shared_data("text/tinyshakespeare.txt").read_bytes()[:60000].decode()
    found = llmpy.perplexity(model, text, n_ctx=512, n_windows=4)
    assert found.value == pytest.approx(PEER[0], rel=2e-4)
    assert found.error == pytest.approx(PEER[1], rel=2e-3)
    assert (found.n_tokens, found.n_windows) == (4 * 255, 4)


def test_perplexity_by_hand(model: llmpy.Model, text: str) -> None:
    found = llmpy.perplexity(model, text, n_ctx=16, n_windows=1)
    ids = measure.windows(model, text, 16, 1)[0]
    losses = []
    for i in range(8, 15):  # each token of the second half, given all before it
        session = model.session(sampler=llmpy.greedy())
        piece = list(session.stream(ids[: i + 1], max_tokens=1, logprobs=model.n_vocab))[-2]
        assert piece.logprobs is not None
        losses.append(-dict(piece.logprobs.top)[ids[i + 1]])
    assert found.value == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)
    error = found.value * np.std(losses) / math.sqrt(len(losses) - 1)
    assert found.error == pytest.approx(error, rel=1e-3)


def test_windows_begin_with_the_first_token_and_leave_out_the_rest(
    model: llmpy.Model, text: str
) -> None:
    ids = model.tokenizer.encode(text, bos=True, start=True)
    found = measure.windows(model, text, 100)
    assert len(found) == len(ids) // 100
    assert {window[0] for window in found} == {model.tokenizer.bos}
    assert found[2][1:] == ids[201:300]


def test_logits_come_in_steps_and_are_those_of_one_step(stories: Path, text: str) -> None:
    ids = llmpy.load_tokenizer(stories).encode(text)[:70]
    rows = []
    for n_batch in (512, 16):
        with llmpy.load(stories, n_batch=n_batch) as model:
            rows.append(np.concatenate(list(model.logits(ids, 20))))
    assert rows[0].shape == (50, 512)
    assert (rows[0] == rows[1]).all()


def test_logits_are_checked(model: llmpy.Model) -> None:
    with pytest.raises(llmpy.ContextFull):
        next(model.logits([1] * (model.n_ctx + 1)))
    with pytest.raises(ValueError, match="0 to 511"):
        next(model.logits([512]))
    assert list(model.logits([])) == []


def test_a_model_does_not_differ_from_itself(model: llmpy.Model, text: str) -> None:
    found = llmpy.divergence(model, model, text, n_ctx=64, n_windows=2)
    assert found.mean == 0
    assert found.same_top == 1
    assert found.perplexity == found.base
    assert set(found.percentiles.values()) == {0.0}


def test_fewer_bits_lose_more(model: llmpy.Model, stories: Path, tmp_path: Path, text: str) -> None:
    means = []
    for kind in ("Q8_0", "Q5_0", "Q4_0"):
        (out,) = llmpy.quantize(stories, tmp_path / "q.gguf", kind, keep={"*ffn_down*": "F16"})
        with llmpy.load(out, kv_dtype="f32") as small:
            found = llmpy.divergence(small, model, text, n_ctx=128, n_windows=4)
        means.append(found.mean)
        assert 0 < found.percentiles[50.0] < found.percentiles[99.0] <= found.percentiles[100.0]
        assert 0.5 < found.same_top < 1
    assert means == sorted(means)


def test_divergence_by_hand(model: llmpy.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    p, q = np.log([[0.5, 0.25, 0.25]]), np.log([[0.25, 0.5, 0.25]])
    given = iter([(q, [0]), (p, [0])])
    monkeypatch.setattr(measure, "windows", lambda *_: [[0] * 4])
    monkeypatch.setattr(measure, "_scored", lambda *_: iter([next(given)]))
    found = llmpy.divergence(model, model, "")
    assert found.mean == pytest.approx(0.5 * math.log(2) - 0.25 * math.log(2))
    assert found.same_top == 0
    assert found.perplexity.value == pytest.approx(4)
    assert found.base.value == pytest.approx(2)


def test_progress_ends_with_the_result(model: llmpy.Model, text: str) -> None:
    events: list[llmpy.MeasureEvent] = []
    found = llmpy.perplexity(model, text, n_ctx=64, n_windows=3, progress=events.append)
    assert [(e.window, e.total) for e in events] == [(1, 3), (2, 3), (3, 3)]
    assert events[-1].estimate == found.value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "short"}, "text: expected 512 tokens or more"),
        ({"text": "a", "n_ctx": 4}, "n_ctx: expected 8 to "),
        ({"text": "a", "n_ctx": 1 << 20}, "n_ctx: expected 8 to "),
        ({"text": "a", "n_windows": 0}, "n_windows: expected a positive"),
    ],
)
def test_what_cannot_be_measured_is_named(
    model: llmpy.Model, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        llmpy.perplexity(model, **arguments)  # type: ignore[arg-type]
