"""States of tokens and logits of prompts, in parts of bounded size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import llmpy
from llmpy.session import embedding
from tests.arch import checkpoints

TOKENS = [int(t) for t in checkpoints.prompt(264)]
backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    at = tmp_path_factory.mktemp("states")

    def find(name: str) -> Path:
        golden = checkpoints.load_golden(name)
        weights = golden.weights(checkpoints.spec(name))
        return checkpoints.write(at / name, golden.about["config"], weights)

    return find


@backends
def test_states_of_a_session_are_those_of_its_logits(
    backend: str, folders: Callable[[str], Path]
) -> None:
    golden = checkpoints.load_golden("gpt2")
    head = golden.weights(checkpoints.spec("gpt2"))["transformer.wte.weight"]
    with llmpy.load(folders("gpt2"), backend=backend, kv_dtype="f32") as model:
        session = model.session(sampler=llmpy.greedy())
        session.feed(TOKENS)
        found = session.embeddings()
        assert found.shape == (len(TOKENS), 64)
        np.testing.assert_allclose(found @ head.T, golden.logits, atol=2e-3)
        np.testing.assert_array_equal(session.embeddings(7), found[7:])
        np.testing.assert_array_equal(session.fork().embeddings(39), found[39:])
        assert session.embeddings(len(TOKENS)).shape == (0, 64)


@backends
def test_states_of_an_encoder_are_the_originals(
    backend: str, folders: Callable[[str], Path]
) -> None:
    golden = checkpoints.load_golden("bert")
    with llmpy.load(folders("bert"), backend=backend) as model:
        (found,) = model.hidden_states(TOKENS)
        np.testing.assert_allclose(found, golden.logits, atol=1e-4)
        (rest,) = model.hidden_states(TOKENS, 30)
        np.testing.assert_array_equal(rest, found[30:])


def test_a_session_is_not_changed_by_looking(fast_stories: llmpy.Model) -> None:
    looked, other = (fast_stories.session(seed=3) for _ in range(2))
    for session in (looked, other):
        session.infer("Once upon a time", max_tokens=5)
    before = looked.seen, looked.tokens
    looked.embeddings()
    assert (looked.seen, looked.tokens) == before
    for session in (looked, other):
        session.infer(max_tokens=10)
    assert looked.tokens == other.tokens


@backends
def test_parts_are_bounded_and_change_no_bit(
    backend: str, folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with llmpy.load(folders("gpt2"), backend=backend) as model:
        whole = np.concatenate([rows.copy() for rows in model.logits(TOKENS)])
        monkeypatch.setattr(embedding, "ROWS_BYTES", 7 * 4 * model.n_vocab)
        parts = [rows.copy() for rows in model.logits(TOKENS)]
        assert max(len(rows) for rows in parts) == 7
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        late = [rows.copy() for rows in model.logits(TOKENS, 25)]
        assert max(len(rows) for rows in late) == 7
        np.testing.assert_array_equal(np.concatenate(late), whole[25:])


def test_what_is_asked_for_must_be_there(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    session.feed("Once")
    with pytest.raises(ValueError, match=r"first: expected 0 to \d tokens, found 100"):
        session.embeddings(100)
    with pytest.raises(ValueError, match="token id 0: expected 0 to 511"):
        next(iter(fast_stories.hidden_states([512])))
    with pytest.raises(llmpy.ContextFull):
        fast_stories.hidden_states([1] * (fast_stories.n_ctx + 1))
    session.close()
    with pytest.raises(llmpy.SessionClosed):
        session.embeddings()
