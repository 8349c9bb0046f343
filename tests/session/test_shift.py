"""Tokens that are left out of a full context: keys of the others turn to new positions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.backends.base import PAGE_TOKENS
from llmpy.backends.cpu.backend import CpuBackend
from llmpy.backends.cpu.keys import CODECS
from llmpy.backends.reference.backend import ReferenceBackend
from llmpy.engine import Turn
from llmpy.engine.shifting import turned
from llmpy.graph import key_rotations
from tests.arch import checkpoints
from tests.session.conftest import STORIES

TOLERANCE = {"f32": 1e-6, "int14": 1e-4, "f16": 1e-3, "q8_0": 1e-2, "q4_0": 0.15}  # of the largest
TOKENS = [int(t) for t in checkpoints.prompt(264, 256)]
backends = pytest.mark.parametrize("backend", ["cpu", "reference"])
pytestmark = pytest.mark.filterwarnings("ignore:the context of:llmpy.ContextWarning")


def tiny(name: str, folder: Path, **options: Any) -> llmpy.Model:
    golden = checkpoints.load_golden(name)
    weights = golden.weights(checkpoints.spec(name))
    path = checkpoints.write(folder / name, golden.about["config"], weights)
    return llmpy.load(path, n_threads=2, **options)


def next_logits(session: llmpy.Session) -> np.ndarray[Any, Any]:
    seen: list[Any] = []
    session.sampler = llmpy.chain(lambda logits, _: seen.append(logits.copy()) or logits)
    session.next_token()
    return seen[0]


@pytest.mark.parametrize("neox", [True, False])
def test_a_turn_is_a_rotation_to_another_position(neox: bool) -> None:
    turn = Turn(np.array([1.0, 0.25, 0.01]), neox)
    keys = np.random.default_rng(1).normal(size=(5, 2, 8)).astype(np.float32)
    there = turned(keys, turn, 37)
    np.testing.assert_allclose(turned(there, turn, -37), keys, atol=1e-6)
    np.testing.assert_allclose(turned(turned(keys, turn, 30), turn, 7), there, atol=1e-6)
    np.testing.assert_array_equal(there[..., 6:], keys[..., 6:])


@pytest.mark.parametrize("kv_dtype", CODECS)
@pytest.mark.parametrize("d", [2, 16, 20, 64])
def test_stored_keys_are_read_as_they_were_written(kv_dtype: str, d: int) -> None:
    rows = np.random.default_rng(d).normal(size=(PAGE_TOKENS, d)).astype(np.float32)
    head = np.zeros(8 * PAGE_TOKENS * (d + 32), np.uint8)  # more than enough
    if kv_dtype == "f32":
        head = head[: 4 * PAGE_TOKENS * d]
    codec = CODECS[kv_dtype]
    for offset in (0, 0x80):
        codec.write(head, rows, offset)
        found = codec.read(head, d, offset)
        np.testing.assert_allclose(found, rows, atol=TOLERANCE[kv_dtype] * np.abs(rows).max())
        again = head.copy()
        codec.write(again, found, offset)
        np.testing.assert_allclose(codec.read(again, d, offset), found, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "gpt-oss"])
@pytest.mark.parametrize(
    ("backend", "kv_dtype"),
    [("cpu", kv) for kv in CpuBackend(n_threads=1).kv_dtypes if kv in CODECS]
    + [("reference", kv) for kv in ReferenceBackend.kv_dtypes],
)
@pytest.mark.parametrize("keep", [0, 7, 64])
def test_one_layer_remembers_nothing_of_what_was_left_out(
    name: str, backend: str, kv_dtype: str, keep: int, tmp_path: Path
) -> None:
    """Keys and values of the first layer come from tokens alone: turned, they are those of a fresh
    session, but for rounding. So of the caches after a shift, those of layer 0 are compared."""
    with tiny(name, tmp_path, backend=backend, kv_dtype=kv_dtype, n_ctx=192) as model:
        session = model.session(sampler=llmpy.greedy(), overflow="shift", n_keep=keep)
        session.feed(TOKENS[:190])
        session.feed(TOKENS[190:195])
        left = session.tokens
        dropped = 195 - len(left)
        assert dropped > 0
        assert dropped % PAGE_TOKENS == 0
        first = max(keep, 1 if left[0] == model.tokenizer.bos else 0)
        assert left == TOKENS[:first] + TOKENS[first + dropped : 195]
        fresh = model.session(sampler=llmpy.greedy())
        fresh.feed(left)
        caches = [s.transcript.sequence.open_cache for s in (session, fresh)]
        kv = model._engine.pool.kv
        assert [s.seen for s in (session, fresh)] == [len(left) - 1] * 2
        for page in range(caches[0].n_pages):
            n = min(PAGE_TOKENS, len(left) - 1 - page * PAGE_TOKENS)
            if not all(cache.piece(page, 0) for cache in caches):
                continue  # of a window that has passed it
            a, b = (kv.keys(cache.piece(page, 0), 0)[:n] for cache in caches)
            np.testing.assert_allclose(a, b, atol=2 * TOLERANCE[kv_dtype] * np.abs(b).max())


@backends
def test_a_shift_is_near_to_computing_again(
    backend: str, shared_data: Callable[[str], Path]
) -> None:
    with llmpy.load(shared_data(STORIES), backend=backend, n_ctx=256) as model:
        session = model.session(seed=2, overflow="shift")
        session.infer("Once upon a time", max_tokens=260)
        left = session.tokens
        fresh = model.session()
        fresh.feed(left)
        a, b = next_logits(session), next_logits(fresh)
        assert session.seen == len(left)
        assert int(a.argmax()) == int(b.argmax())
        assert np.corrcoef(a, b)[0, 1] > 0.95


def test_the_kept_tokens_and_a_fork_are_untouched(shared_data: Callable[[str], Path]) -> None:
    with llmpy.load(shared_data(STORIES), n_ctx=256) as model:
        session = model.session(seed=2, overflow="shift", n_keep=70)
        session.feed(model.tokenizer.encode("Once upon a time" * 60)[:250])
        fork = session.fork(seed=9, sampler=llmpy.greedy())
        expected = model.session(sampler=llmpy.greedy())
        expected.feed(fork.tokens)
        first = session.tokens[:70]
        session.infer(max_tokens=10)
        assert session.tokens[:70] == first
        for other in (fork, expected):
            other.infer(max_tokens=5)
        assert fork.tokens == expected.tokens
        assert session.n_appended == 260


def test_what_was_shifted_is_no_prefix_of_other_sessions(
    shared_data: Callable[[str], Path],
) -> None:
    with llmpy.load(shared_data(STORIES), n_ctx=256) as model:
        session = model.session(sampler=llmpy.greedy(), overflow="shift")
        session.infer("Once upon a time", max_tokens=400)
        texts, session_tokens = [], session.tokens
        session.close()
        for source in (model, None):
            with llmpy.load(shared_data(STORIES), n_ctx=256) if source is None else source as m:
                other = m.session(sampler=llmpy.greedy())
                other.feed(session_tokens[:200])
                other.infer(max_tokens=20)
                texts.append(other.tokens)
        assert texts[0] == texts[1]


def test_a_shifted_session_is_saved_as_it_is(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    with llmpy.load(shared_data(STORIES), n_ctx=128) as model:
        session = model.session(seed=2, overflow="shift", n_keep=5)
        session.infer("Once upon a time", max_tokens=170)
        session.save(tmp_path / "s")
        loaded = model.load_session(tmp_path / "s")
        for each in (session, loaded):
            each.infer(max_tokens=200)
        assert loaded.tokens == session.tokens
        assert loaded.n_appended == session.n_appended


@pytest.mark.parametrize("name", ["gpt2", "mamba2", "hunyuan-dense", "deepseek-v2"])
def test_a_model_whose_keys_cannot_turn_computes_again(name: str, tmp_path: Path) -> None:
    with tiny(name, tmp_path, n_ctx=128) as model:
        assert key_rotations(model.graph) is None
        session = model.session(sampler=llmpy.greedy(), overflow="shift")
        session.feed(TOKENS[:126])
        session.feed(TOKENS[126:140])
        fresh = model.session(sampler=llmpy.greedy())
        fresh.feed(session.tokens)
        for each in (session, fresh):
            each.infer(max_tokens=5)
        assert session.tokens == fresh.tokens


@pytest.mark.parametrize("name", ["llama", "llama3", "qwen3", "gemma3", "smollm3", "mpt", "glm4"])
def test_keys_that_can_turn_are_found(name: str, tmp_path: Path) -> None:
    with tiny(name, tmp_path, backend="reference") as model:
        found = key_rotations(model.graph)
        assert found is not None
        assert len(found) == len(model.graph.caches) // 2
        if name == "mpt":  # which knows positions by distance alone
            assert set(found.values()) == {None}
        if name == "smollm3":  # some layers of which do not rotate
            assert {rotation is None for rotation in found.values()} == {True, False}
