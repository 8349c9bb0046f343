"""Layers with a sliding window free the pages that no query can see, and change no bit by that."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy import ffi
from llmpy.backends.base import PAGE_TOKENS, Requirements, window_pages
from llmpy.backends.windows import windows_of
from llmpy.engine.cache import PagedState
from tests.arch import checkpoints
from tests.session.test_edit import logits_of
from tests.session.test_prefix import computed

# All layers have a window, most, or every second one, with sinks.
MODELS = ["mistral cpu", "gemma3 cpu", "gpt-oss cpu", "gemma3 reference"]
WINDOW = {"mistral": 8, "gemma3": 16, "gpt-oss": 16}
IDS = [int(token) for token in checkpoints.prompt(264, 500)]
Load = Callable[..., llmpy.Model]


@pytest.fixture(params=MODELS)
def load(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Load]:
    """`load(**options)`: a tiny model, read in steps of 64 tokens, without a prefix cache."""
    name, backend = request.param.split()
    if backend == "cpu" and not ffi.available():
        pytest.skip(f"the compiled library is not installed: {ffi.library_path()}")
    golden = checkpoints.load_golden(name)
    folder = tmp_path / name
    checkpoints.write(folder, golden.about["config"], golden.weights(checkpoints.spec(name)))
    models: list[llmpy.Model] = []

    def open_one(**options: Any) -> llmpy.Model:
        made = {"backend": backend, "n_ctx": 512, "n_batch": 64, "prefix_cache_bytes": 0} | options
        models.append(llmpy.load(folder, **made))
        return models[-1]

    yield open_one
    for model in models:
        model.close()


@pytest.fixture
def model(load: Load) -> llmpy.Model:
    return load()


def cache_of(session: llmpy.Session) -> PagedState:
    return session.transcript.sequence.open_cache


def n_windowed(model: llmpy.Model) -> int:
    """How many parts of pages for windows there are."""
    return len(model._engine.pool.kv.windowed._pieces)  # type: ignore[attr-defined]


def fed(model: llmpy.Model, ids: list[int]) -> Any:
    """The logits after these tokens of a session that frees nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PagedState, "pass_by", lambda self, n: None)  # noqa: ARG005
        with model.session() as session:
            session.feed(ids)
            result = logits_of(session)
            assert cache_of(session).n_far == 0
            return result


def test_the_window_is_that_of_the_model(model: llmpy.Model) -> None:
    name = Path(model.path).name
    windows = windows_of(model.graph)
    assert windows.window == model._engine.pool.window == WINDOW[name]
    assert (len(windows.caches) == len(model.graph.caches)) == (name == "mistral")


def test_logits_are_those_without_freeing_to_the_bit(model: llmpy.Model) -> None:
    with model.session() as session:
        at = 0
        for n in (1, 62, 1, 1, 63, 100, 5, 20, 130):
            session.feed(IDS[at : at + n])
            at += n
            np.testing.assert_array_equal(logits_of(session), fed(model, IDS[:at]))
        assert cache_of(session).n_far >= 4


def test_a_session_holds_no_more_than_a_window_and_a_page(model: llmpy.Model) -> None:
    most = window_pages(WINDOW[Path(model.path).name])
    with model.session(sampler=llmpy.greedy()) as session:
        session.feed(IDS[:300])
        for _ in range(150):
            session.next_token()
            assert n_windowed(model) <= most
        assert cache_of(session).n_pages == 8
        np.testing.assert_array_equal(logits_of(session), fed(model, session.tokens))


def test_a_page_of_tokens_is_taken_back_without_computing(
    model: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for end in range(330, 400, 9):
        with model.session() as session:
            session.feed(IDS[:end])
            logits_of(session)
            with monkeypatch.context() as patch:
                positions = computed(model, patch)
                session.rewind(end - PAGE_TOKENS)
                found = logits_of(session)
            assert set(positions) <= {end - PAGE_TOKENS - 1}
            np.testing.assert_array_equal(found, fed(model, IDS[: end - PAGE_TOKENS]))


@pytest.mark.parametrize("n", [0, 1, 64, 100, 200, 299])
def test_going_back_further_computes_again(model: llmpy.Model, n: int) -> None:
    with model.session() as session:
        session.feed(IDS[:400])
        logits_of(session)
        session.rewind(n)
        session.feed(IDS[n + 3 : n + 50])
        found = logits_of(session)
    np.testing.assert_array_equal(found, fed(model, IDS[:n] + IDS[n + 3 : n + 50]))


def test_with_the_prefix_cache_going_back_costs_at_most_a_page(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, other = load(prefix_cache_bytes=1 << 24), load()
    with model.session() as session:
        session.feed(IDS[:400])
        logits_of(session)
        for n in (390, 300, 213, 100):
            with monkeypatch.context() as patch:
                positions = computed(model, patch)
                session.rewind(n)
                found = logits_of(session)
            assert len(positions) <= PAGE_TOKENS
            np.testing.assert_array_equal(found, fed(other, IDS[:n]))
            session.feed(IDS[n:400])
            logits_of(session)


@pytest.mark.parametrize("n", [64, 130, 200, 256, 330])
def test_a_second_session_finds_what_the_first_has_passed(load: Load, n: int) -> None:
    model, other = load(prefix_cache_bytes=1 << 24), load()
    with model.session() as first:
        first.feed(IDS[:400])
        logits_of(first)
    with model.session() as second:
        tokens = IDS[:n] + IDS[430:450]
        stats = second.infer(tokens, max_tokens=0)
        assert stats.n_cached == n // PAGE_TOKENS * PAGE_TOKENS
        np.testing.assert_array_equal(logits_of(second), fed(other, tokens))


def test_a_small_prefix_cache_forgets_windows_first_and_stays_right(load: Load) -> None:
    other = load()
    pool = other._engine.pool
    kinds = 2 if pool.whole_bytes else 1
    model = load(prefix_cache_bytes=kinds * 3 * max(pool.windowed_bytes, pool.whole_bytes))
    for n in (400, 450, 300, 200, 470):
        with model.session() as session:
            session.feed(IDS[:n])
            np.testing.assert_array_equal(logits_of(session), fed(other, IDS[:n]))
    found = model.prefix_cache()
    assert found.n_bytes <= found.max_bytes
    n_kept = sum(page.windowed > 0 for page in model._engine.pool._held)
    assert 0 < n_kept * pool.windowed_bytes <= found.max_bytes


def test_forks_and_marks_keep_their_windows(
    model: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model.session() as origin:
        origin.feed(IDS[:200])
        logits_of(origin)
        branch, mark = origin.fork(), origin.mark()
        origin.feed(IDS[200:450])
        logits_of(origin)
        branch.feed(IDS[300:310])
        np.testing.assert_array_equal(logits_of(branch), fed(model, IDS[:200] + IDS[300:310]))
        with monkeypatch.context() as patch:
            positions = computed(model, patch)
            origin.rewind_to(mark)
            found = logits_of(origin)
        assert len(positions) <= 1
        np.testing.assert_array_equal(found, fed(model, IDS[:200]))
        branch.close()
        mark.close()
    assert not model._engine.pool._held


def test_a_snapshot_has_the_windows_alone_and_goes_on(load: Load, tmp_path: Path) -> None:
    model, pool = load(), load()._engine.pool
    with model.session(sampler=llmpy.greedy()) as session:
        session.feed(IDS[:400])
        logits_of(session)
        session.save(tmp_path / "s")
        loaded = model.load_session(tmp_path / "s")
        n = (tmp_path / "s").stat().st_size
        most = 7 * pool.whole_bytes + window_pages(pool.window) * pool.windowed_bytes
        assert 6 * pool.whole_bytes < n < most + 10_000
        assert loaded.seen == session.seen
        for each in (session, loaded):
            each.infer(max_tokens=70)
        assert loaded.tokens == session.tokens
        np.testing.assert_array_equal(logits_of(loaded), fed(model, session.tokens))
        loaded.rewind(150)
        np.testing.assert_array_equal(logits_of(loaded), fed(model, IDS[:150]))


def test_random_use_is_as_a_fresh_session(load: Load) -> None:
    model, other = load(prefix_cache_bytes=30_000), load()
    rng = random.Random(7)
    sessions = [model.session()]
    for _ in range(60):
        session = rng.choice(sessions)
        what, n = rng.randrange(6), len(session)
        if what == 0 and len(sessions) < 5:
            sessions.append(session.fork())
        elif what == 1 and n:
            session.rewind(rng.randrange(n))
        elif what == 2 and n > 10:
            at = rng.randrange(n - 1)
            session.edit(at, IDS[at + 7 : at + 9], end=at + 1)
        elif n < 400:
            start = rng.randrange(100)
            session.feed(IDS[start : start + rng.randrange(1, 100)])
        if session.tokens:
            np.testing.assert_array_equal(logits_of(session), fed(other, session.tokens))
    for session in sessions:
        session.close()


def test_sessions_at_once_take_what_was_planned(load: Load) -> None:
    model = load(n_batch=64)
    pool, sessions = model._engine.pool, [model.session() for _ in range(4)]
    for i, session in enumerate(sessions):
        session.feed(IDS[i : i + 480])
    llmpy.next_tokens(sessions)
    plan = model.plan(n_ctx=481, sessions=4)
    taken = n_windowed(model) * pool.windowed_bytes + 32 * pool.whole_bytes
    assert taken <= plan.kv_cache <= taken + 6 * pool.windowed_bytes
    for session in sessions:
        session.close()


def test_steps_of_batches_free_pages_too(load: Load) -> None:
    model, other = load(), load()
    prompts = [IDS[:300], IDS[100:420], IDS[50:370]]
    most = 2 * window_pages(model._engine.pool.window) + 1  # and a step's
    for step in model.batch_steps(prompts, n_parallel=2):
        for number, logits in zip(step.numbers, step.logits, strict=True):
            np.testing.assert_array_equal(logits, fed(other, prompts[number]))
        step.choose(np.full(len(step.numbers), -1))
        assert n_windowed(model) <= most
    assert not model._engine.pool._held


def test_what_fits_is_what_is_planned() -> None:
    for page, windowed, window in ((10, 0, 0), (0, 7, 100), (3, 50, 512)):
        needs = Requirements(0, page, 0, None, windowed, window)
        for room in range(0, 3000, 7):
            n = needs.most_tokens(room)
            assert needs.cache_bytes(n) <= room
            if page or n < PAGE_TOKENS * window_pages(window):
                assert needs.cache_bytes(n + PAGE_TOKENS) > room
