"""One loop for everything: output rows, short steps, cancelling, deadlines, priority, pages."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.backends.base import PAGE_TOKENS, Batch, KvCache
from llmpy.engine import Sequence as Tokens
from llmpy.engine import Slice, Work
from tests.engine.conftest import Load
from tests.threads import finish, in_thread

IDS = [5 + (37 * i) % 400 for i in range(240)]


class Watched:
    """A plan that notes its batches, and does something before each step."""

    def __init__(self, model: llmpy.Model, before: Callable[[], object] = lambda: None) -> None:
        self.plan: Any = model._engine.plan
        self.before = before
        self.batches: list[Batch] = []
        model._engine.plan = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)

    def run(self, batch: Batch, states: Sequence[KvCache]) -> Any:
        self.batches.append(Batch(*(array.copy() for array in batch)))
        self.before()
        return self.plan.run(batch, states)

    @property
    def sizes(self) -> list[int]:
        return [len(batch.tokens) for batch in self.batches]


def whole(model: llmpy.Model) -> np.ndarray:
    """The logits after each of IDS."""
    return np.concatenate([rows.copy() for rows in model.logits(IDS)])


def tokens_of(model: llmpy.Model, ids: Sequence[int]) -> Tokens:
    sequence = model._engine.sequence()
    sequence.append(ids)
    return sequence


def test_several_rows_of_several_sequences_in_one_step(model: llmpy.Model) -> None:
    expected = whole(model)
    first, second = (Work(tokens_of(model, IDS[:n]), n, n - k, n) for n, k in ((9, 4), (7, 7)))
    watched = Watched(model)
    model._engine.run([first, second])
    assert watched.sizes == [16]
    np.testing.assert_array_equal(first.rows, expected[5:9])
    np.testing.assert_array_equal(second.rows, expected[:7])


def test_rows_of_several_steps_come_together(model: llmpy.Model) -> None:
    expected = whole(model)
    work = Work(tokens_of(model, IDS), 240, 10, 200)
    model._engine.run([work])
    np.testing.assert_array_equal(work.rows, expected[10:200])


def test_logits_that_are_gone_are_made_again(model: llmpy.Model) -> None:
    expected = whole(model)
    sequence = tokens_of(model, IDS[:100])
    model._engine.run([Work(sequence, 100, 100, 100)])
    assert sequence.n_cached == 100
    work = Work(sequence, 100, 90, 95)
    watched = Watched(model)
    model._engine.run([work])
    assert watched.sizes == [10]
    np.testing.assert_array_equal(work.rows, expected[90:95])


def test_work_without_tokens_to_compute_is_served_at_once(model: llmpy.Model) -> None:
    work = Work(tokens_of(model, []), 0, 0, 0)
    model._engine.run([work])
    assert (work.served, work.error) == (True, None)


def test_with_once_a_call_returns_after_one_step_and_goes_on_when_it_is_given_again(
    model: llmpy.Model,
) -> None:
    expected = whole(model)
    first, second = (Work(tokens_of(model, IDS[:n]), n, n - 1, n) for n in (5, 240))
    model._engine.run([first, second], once=True)
    assert (first.served, second.served) == (True, False)
    assert 0 < second.sequence.n_cached < 240
    n_steps = 0
    while not second.served:
        model._engine.run([second], once=True)
        n_steps += 1
    assert n_steps > 1
    np.testing.assert_array_equal(second.rows, expected[239:240])


def test_a_sequence_is_truncated_and_forked(model: llmpy.Model) -> None:
    sequence = tokens_of(model, IDS[:100])
    model._engine.run([Work(sequence, 100, 100, 100)])
    fork = model._engine.fork(sequence, None, None, None)
    model._engine.truncate(sequence, 70)
    assert (len(sequence), sequence.n_cached) == (70, 70)
    assert (len(fork), fork.n_cached) == (100, 100)
    assert fork.number > sequence.number
    sequence.evict()
    assert (len(sequence), sequence.n_cached) == (70, 0)


def slow(seconds_a_token: float, watched: list[Watched]) -> Callable[[], None]:
    return lambda: time.sleep(seconds_a_token * len(watched[0].batches[-1].tokens))


@pytest.mark.parametrize("interruptible", [False, True])
def test_a_step_that_could_be_cancelled_is_short(load: Load, interruptible: bool) -> None:
    model = load(n_batch=256)
    watched: list[Watched] = []
    watched.append(Watched(model, slow(0.004, watched)))  # 20 tokens in 80 ms
    with model.session() as session:
        if interruptible:
            session.limits.interruptible = True
            session.feed(IDS)
        else:
            assert in_thread(lambda: session.feed(IDS)) == 240
    sizes = watched[0].sizes
    assert sizes[0] == 16
    assert max(sizes) <= 20


def test_a_step_that_nobody_can_cancel_is_whole(load: Load) -> None:
    model = load(n_batch=256)
    watched: list[Watched] = []
    watched.append(Watched(model, slow(0.001, watched)))
    with model.session() as session:
        session.feed(IDS)
    assert watched[0].sizes == [239]


def test_short_steps_change_no_bit(load: Load) -> None:
    with load().session(sampler=llmpy.greedy()) as session:
        session.feed(IDS)
        expected = [session.next_token() for _ in range(5)]
    model = load(n_batch=256)
    watched: list[Watched] = []
    watched.append(Watched(model, slow(0.004, watched)))
    with model.session(sampler=llmpy.greedy()) as session:
        in_thread(lambda: session.feed(IDS))
        assert [session.next_token() for _ in range(5)] == expected
    assert len(watched[0].batches) > 5


def cancelling(model: llmpy.Model, session: llmpy.Session, step: int) -> Watched:
    """Cancels in that step of the plan."""
    watched: list[Watched] = []

    def before() -> None:
        if len(watched[0].batches) == step:
            session.cancel()

    watched.append(Watched(model, before))
    return watched[0]


def test_cancelling_a_prompt_takes_it_back(model: llmpy.Model) -> None:
    session = model.session(sampler=llmpy.greedy())
    session.feed(IDS[:20])
    watched = cancelling(model, session, 3)
    with pytest.raises(llmpy.Cancelled, match="cancel"):
        session.feed(IDS[20:])
    assert len(watched.batches) == 3
    assert session.tokens == IDS[:20]
    session.feed(IDS[20:])  # it may go on
    assert session.tokens == IDS


def test_cancelling_ends_a_stream_with_a_reason(model: llmpy.Model) -> None:
    session = model.session()
    stream = session.stream(IDS[:8])
    for _ in range(12):
        next(stream)
    session.cancel()
    last = list(stream)
    assert [piece.kind for piece in last] == ["end"]
    assert last[0].finish_reason == "cancelled"
    assert len(session) == 12


def test_cancelling_while_a_prompt_is_read_keeps_what_was_shown(model: llmpy.Model) -> None:
    session = model.session()
    cancelling(model, session, 3)
    stats = session.infer(IDS)
    assert stats.finish_reason == "cancelled"
    assert session.tokens == IDS[: stats.n_prompt]
    assert stats.n_prompt == 48  # the step that ran was done


def test_cancelling_a_task_acts_inside_a_prompt(load: Load) -> None:
    model = load(n_batch=256)
    watched: list[Watched] = []
    watched.append(Watched(model, slow(0.004, watched)))
    session = model.session()

    async def main() -> None:
        task = asyncio.create_task(session.afeed(IDS))
        while len(watched[0].batches) < 2:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert sum(watched[0].sizes) < 200
    assert session.tokens == []


def test_cancelling_a_session_that_nobody_uses_does_nothing(model: llmpy.Model) -> None:
    session = model.session()
    session.cancel()
    session.feed(IDS)
    session.cancel()
    session.next_token()
    session.cancel()
    assert session.infer([], max_tokens=3).finish_reason == "length"


def test_a_deadline_ends_a_call(model: llmpy.Model) -> None:
    session = model.session()
    session.limits.deadline = time.monotonic() - 1
    with pytest.raises(llmpy.Cancelled, match="deadline"):
        session.feed(IDS)
    assert session.infer(IDS).finish_reason == "cancelled"
    assert session.tokens == []
    session.limits.deadline = time.monotonic() + 1000
    assert session.infer(IDS, max_tokens=3).finish_reason == "length"


def test_one_of_a_batch_is_cancelled_alone(model: llmpy.Model) -> None:
    sessions = [model.session(sampler=llmpy.greedy()) for _ in range(3)]
    for session in sessions:
        session.feed(IDS[:10])
    sessions[1].limits.deadline = time.monotonic() - 1
    with pytest.raises(llmpy.Cancelled):
        llmpy.next_tokens(sessions)
    assert [len(session) for session in sessions] == [11, 10, 11]


# A budget of pages


def told(model: llmpy.Model, i: int, n: int) -> list[int]:
    """What a session says by itself: longer than a page."""
    with model.session(seed=i) as session:
        session.feed(IDS[i : i + 40])
        return [session.next_token() for _ in range(n)]


def test_sessions_beyond_the_budget_say_the_same(load: Load) -> None:
    plenty, scarce = load(), load(max_total_tokens=5 * PAGE_TOKENS)
    expected = [told(plenty, i, 150) for i in range(4)]  # 3 pages each, 12 in all
    sessions = [scarce.session(seed=i) for i in range(4)]
    for i, session in enumerate(sessions):
        session.feed(IDS[i : i + 40])
    held: list[int] = []
    watched = Watched(scarce, lambda: held.append(scarce._engine.pool.in_use))
    columns = [llmpy.next_tokens(sessions, ignore_eos=True) for _ in range(150)]
    assert [list(row) for row in zip(*columns, strict=True)] == expected
    assert max(held) == 5
    assert sum(watched.sizes) > 4 * 190  # some of it was computed again


def test_threads_beyond_the_budget_say_the_same(load: Load) -> None:
    plenty, scarce = load(), load(max_total_tokens=4 * PAGE_TOKENS)
    expected = [told(plenty, i, 100) for i in range(5)]
    found: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: told(scarce, i, 100)}))  # type: ignore[misc]
        for i in range(5)
    ]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert [found[i] for i in range(5)] == expected
    assert scarce._engine.pool.in_use == 0


def test_the_youngest_of_the_lowest_priority_gives_its_pages_up(load: Load) -> None:
    model = load(max_total_tokens=4 * PAGE_TOKENS)
    sessions = [model.session() for _ in range(4)]
    sessions[3].limits.priority = 1
    for session in sessions:
        session.feed(IDS[:PAGE_TOKENS])
    model.session().feed(IDS[:10])
    assert [session.seen for session in sessions] == [63, 63, 0, 63]


def test_a_session_waits_while_others_can_go_on(load: Load) -> None:
    model = load(max_total_tokens=4 * PAGE_TOKENS)
    old, new = model.session(seed=1), model.session(seed=2)
    old.feed(IDS[:200])  # all pages
    new.transcript.append(IDS[:10], prefill=False)
    works = [session.transcript.request() for session in (old, new)]
    assert model._engine.step(works) == 1
    assert [work.served for work in works] == [True, False]
    assert old.seen == 200


def test_an_idle_session_has_time_to_come_back(load: Load) -> None:
    model = load(max_total_tokens=4 * PAGE_TOKENS)
    idle, new = model.session(), model.session(seed=2)
    idle.feed(IDS[:200])
    new.transcript.append(IDS[:10], prefill=False)
    work = new.transcript.request()
    assert (model._engine.step([work]), idle.seen) == (0, 199)
    assert (model._engine.step([work], may_evict=True), idle.seen) == (1, 0)


def test_forks_share_what_is_counted(load: Load) -> None:
    model = load(max_total_tokens=5 * PAGE_TOKENS)
    session = model.session(seed=1)
    session.feed(IDS[:200])
    fork = session.fork()
    assert [session.next_token() for _ in range(3)] == [fork.next_token() for _ in range(3)]
    assert model._engine.pool.in_use == 5


def test_a_budget_below_one_session_is_refused(load: Load) -> None:
    with pytest.raises(ValueError, match=r"max_total_tokens: expected at least 256.*found 200"):
        load(max_total_tokens=200)


def test_a_python_sampler_runs_outside_of_the_lock(model: llmpy.Model) -> None:
    free: list[bool] = []

    def sampler(logits: np.ndarray, _session: llmpy.Session) -> np.ndarray:
        def take() -> bool:
            taken: bool = model._engine.lock.acquire(blocking=False)
            if taken:
                model._engine.lock.release()
            return taken

        free.append(in_thread(take))
        return logits

    session = model.session(sampler=sampler)
    session.feed(IDS[:5])
    session.next_token()
    llmpy.next_tokens([session, model.session(seed=1)])
    assert free == [True, True]


def beside(model: llmpy.Model, n_running: int) -> list[int]:
    """Tokens of the steps in which sequences go on beside a prompt of 100 tokens."""
    running = [tokens_of(model, IDS[:9]) for _ in range(n_running)]
    for sequence in running:
        model._engine.run([Work(sequence, 8, 8, 8)])
    prompt = Work(tokens_of(model, IDS[:100]), 100, 100, 100)
    watched = Watched(model)
    works = [Work(sequence, 9, 8, 9) for sequence in running]
    model._engine.step([*works, prompt], shared=True)
    assert all(work.served for work in works)
    return watched.sizes


def test_a_prompt_takes_no_longer_than_the_sequences_beside_it(load: Load) -> None:
    engine = (model := load(n_batch=128, prefix_cache_bytes=0))._engine
    engine._n_prefill = 100
    assert beside(model, 4) == [100]  # nothing is known yet
    engine._running_seconds = {4: 0.010}
    engine._n_beside = 10
    assert beside(model, 4) == [14]
    engine._n_beside = 10
    assert beside(model, 0) == [10]  # they will come back
    engine._n_prefill, engine._n_running = 100, 0
    assert beside(model, 0) == [100]


def test_how_many_tokens_that_are_is_learned(load: Load) -> None:
    engine = load()._engine
    running = [Slice(i, 5, 1, range(1)) for i in range(4)]
    engine.seconds = 0.010
    engine._learn_beside(running, 4)
    for _ in range(20):
        engine.seconds = 0.010 + 40 * 0.001
        engine._learn_beside([*running, Slice(4, 0, 40, range(0))], 44)
    assert engine._n_beside in (9, 10)  # a millisecond each
    engine.seconds = 1.0  # something was in the way
    engine._learn_beside([*running, Slice(4, 0, 40, range(0))], 44)
    assert engine._n_beside >= 8
