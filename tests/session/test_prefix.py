"""The prefix cache: the same results with and without it, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from tests.session.test_edit import logits_of
from tests.threads import finish

STORIES = "weights/stories260K/stories260K.gguf"
IDS = [5 + (37 * i) % 400 for i in range(400)]


@pytest.fixture(params=["cpu", "reference"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


Load = Callable[..., llmpy.Model]


@pytest.fixture
def load(shared_data: Callable[[str], Path], backend: str) -> Iterator[Load]:
    models: list[llmpy.Model] = []

    def open_one(**options: Any) -> llmpy.Model:
        made = {"backend": backend, "n_ctx": 512, "n_batch": 64} | options
        models.append(llmpy.load(shared_data(STORIES), **made))
        return models[-1]

    yield open_one
    for model in models:
        model.close()


def computed(model: llmpy.Model, patch: pytest.MonkeyPatch) -> list[int]:
    """Positions that are computed from now on."""
    positions: list[int] = []
    run = model._engine.plan.run

    def noted(batch: Any, caches: Any) -> Any:
        positions.extend(batch.positions.tolist())
        return run(batch, caches)

    patch.setattr(model._engine.plan, "run", noted, raising=False)
    return positions


def test_a_second_session_computes_no_full_page_again(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load()
    with model.session() as first:
        first.feed(IDS[:300])
        expected = logits_of(first)
    positions = computed(model, monkeypatch)
    second = model.session()
    stats = second.infer(IDS[:300], max_tokens=0)
    assert (stats.n_prompt, stats.n_cached) == (300, 256)
    assert positions == list(range(256, 299))
    np.testing.assert_array_equal(logits_of(second), expected)
    found = model.prefix_cache()
    assert (found.n_pages, found.n_asked, found.n_found) == (4, 512, 256)
    assert found.hit_rate == 0.5


def test_the_logits_of_the_last_token_are_made(load: Load) -> None:
    model = load()
    for _ in range(2):
        with model.session(sampler=llmpy.greedy()) as session:
            found = [p.token for p in session.stream(IDS[:128], max_tokens=3)]
    with load(prefix_cache_bytes=0).session(sampler=llmpy.greedy()) as session:
        assert [p.token for p in session.stream(IDS[:128], max_tokens=3)] == found


@pytest.mark.parametrize("n", [63, 64, 65, 128, 200])
def test_another_text_shares_what_it_begins_with(load: Load, n: int) -> None:
    model, other = load(), load(prefix_cache_bytes=0)
    with model.session() as first:
        first.feed(IDS[:300])
    with model.session() as second, other.session() as alone:
        tokens = IDS[:n] + IDS[300:360]
        stats = second.infer(tokens, max_tokens=0)
        assert stats.n_cached == n // 64 * 64
        alone.feed(tokens)
        np.testing.assert_array_equal(logits_of(second), logits_of(alone))


def test_generated_tokens_are_found_too(load: Load) -> None:
    model = load()
    with model.session(sampler=llmpy.greedy()) as first:
        first.infer(IDS[:50], max_tokens=100)
        past = first.tokens
    with model.session() as second:
        assert second.infer(past, max_tokens=0).n_cached == 128


def test_rewinding_and_writing_leaves_what_is_kept_as_it_was(load: Load) -> None:
    model, other = load(), load(prefix_cache_bytes=0)
    session = model.session()
    session.feed(IDS[:130])
    session.rewind(100)  # within a page that is kept
    session.feed(IDS[300:360])
    with model.session() as second, other.session() as alone:
        assert second.infer(IDS[:130], max_tokens=0).n_cached == 128
        alone.feed(IDS[:130])
        np.testing.assert_array_equal(logits_of(second), logits_of(alone))


def test_a_page_is_found_only_after_its_own_past(load: Load) -> None:
    model, other = load(), load(prefix_cache_bytes=0)
    with model.session() as first:
        first.feed(IDS[:64])
        first.feed(IDS[100:264])
        first.rewind(90)
        first.feed(IDS[200:310])  # another page 1, and a page 2 behind that
        past = first.tokens
    for tokens, n in (
        (IDS[100:290], 0),  # what was page 1 is page 0
        (IDS[:64] + IDS[100:164] + past[128:192] + [7], 128),  # page 2 behind the former page 1
        (past, 192),
    ):
        with model.session() as second, other.session() as alone:
            assert second.infer(tokens, max_tokens=0).n_cached == n
            alone.feed(tokens)
            np.testing.assert_array_equal(logits_of(second), logits_of(alone))


def test_what_comes_from_a_file_is_not_shared(load: Load, tmp_path: Path) -> None:
    with load().session() as first:
        first.feed(IDS[:150])
        first.save(tmp_path / "saved")
    model = load()
    restored = model.load_session(tmp_path / "saved")
    restored.feed(IDS[150:200])
    fork = restored.fork()
    fork.feed(IDS[200:260])
    assert model.prefix_cache().n_pages == 0
    with model.session() as second:
        assert second.infer(IDS[:260], max_tokens=0).n_cached == 0


def test_what_is_kept_is_given_up_where_memory_is_short(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> int:
        raise llmpy.OutOfMemory("no page can be had")

    model, other = load(), load(prefix_cache_bytes=0)
    with model.session() as first:
        first.feed(IDS[:250])
    assert model.prefix_cache().n_pages == 3
    monkeypatch.setattr(model._engine.pool.kv.pages, "allocate", none_left)
    greedy = llmpy.greedy()
    with model.session(sampler=greedy) as second, other.session(sampler=greedy) as alone:
        second.feed(IDS[100:300])
        assert model.prefix_cache().n_pages <= 3
        alone.feed(IDS[100:300])
        assert [second.next_token() for _ in range(3)] == [alone.next_token() for _ in range(3)]
        with pytest.raises(llmpy.OutOfMemory):
            second.feed(IDS[:100])


def test_that_goes_for_generated_tokens_too(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> int:
        raise llmpy.OutOfMemory("no page can be had")

    model = load()
    with model.session() as first:
        first.feed(IDS[:250])
    session = model.session(sampler=llmpy.greedy())
    session.feed(IDS[300:364])  # in the page that was free
    monkeypatch.setattr(model._engine.pool.kv.pages, "allocate", none_left)
    for _ in range(3):
        session.next_token()
    assert len(session) == 67


def test_what_was_used_last_stays(load: Load) -> None:
    page = load()._engine.pool.kv.pages.n_bytes
    model = load(prefix_cache_bytes=5 * page)

    def read(start: int) -> int:
        with model.session() as session:
            return session.infer(IDS[start : start + 130], max_tokens=0).n_cached

    assert [read(start) for start in (0, 10, 0)] == [0, 0, 128]
    assert read(20) == 0  # in place of what begins at 10, and its last page first
    assert [read(start) for start in (0, 20)] == [128, 128]
    assert read(10) == 64
    assert model.prefix_cache().n_pages == 5


def test_memory_is_bounded(load: Load) -> None:
    page = load()._engine.pool.kv.pages.n_bytes
    model = load(prefix_cache_bytes=3 * page)
    for start in range(0, 200, 10):
        with model.session() as session:
            session.feed(IDS[start : start + 190])
    stats = model.prefix_cache()
    assert (stats.n_pages, stats.n_bytes) == (3, 3 * page)
    assert stats.max_bytes == 3 * page
    pool = model._engine.pool
    assert (pool.in_use, len(pool._held)) == (0, 3)


@pytest.mark.parametrize("n_bytes", [0, 1])
def test_without_room_nothing_is_kept(load: Load, n_bytes: int) -> None:
    model = load(prefix_cache_bytes=n_bytes)
    for _ in range(2):
        with model.session() as session:
            assert session.infer(IDS[:200], max_tokens=0).n_cached == 0
    assert model.prefix_cache().n_pages == 0
    assert len(model._engine.pool._held) == 0


@pytest.mark.parametrize("number", [-1, 1.5, "1"])
def test_a_wrong_size_is_refused(load: Load, number: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="prefix_cache_bytes"):
        load(prefix_cache_bytes=number)


def test_two_that_compute_the_same_hold_it_once(load: Load) -> None:
    model = load()
    first, second = model.session(), model.session()
    for session in (first, second):
        session.feed(IDS[:60])
    for session in (first, second):
        session.feed(IDS[60:200])
    assert model._engine.pool.in_use == 3 + 2  # full pages once, and the open one of each


def test_prompts_beyond_the_budget_of_pages(load: Load) -> None:
    model, other = load(n_ctx=256, max_total_tokens=320), load(n_ctx=256, prefix_cache_bytes=0)
    texts = [IDS[i : i + 200] for i in (0, 1, 0, 2, 1)]
    found = []
    for text in texts:
        with model.session(sampler=llmpy.greedy()) as session:
            session.feed(text)
            found.append([session.next_token() for _ in range(4)])
    for text, tokens in zip(texts, found, strict=True):
        with other.session(sampler=llmpy.greedy()) as session:
            session.feed(text)
            assert [session.next_token() for _ in range(4)] == tokens


def test_many_threads_with_common_prefixes(load: Load) -> None:
    model, other = load(prefix_cache_bytes=40_000), load(prefix_cache_bytes=0)
    texts = [IDS[: 100 + 40 * (i % 3)] + IDS[i : i + 30] for i in range(6)]
    expected = []
    for text in texts:
        with other.session(sampler=llmpy.greedy()) as session:
            session.feed(text)
            expected.append([session.next_token() for _ in range(5)])
    wrong: list[int] = []

    def work(k: int) -> None:
        for i in range(k, k + 6):
            with model.session(sampler=llmpy.greedy()) as session:
                session.feed(texts[i % 6])
                if [session.next_token() for _ in range(5)] != expected[i % 6]:
                    wrong.append(i)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert wrong == []
    assert model._engine.pool.in_use == 0
