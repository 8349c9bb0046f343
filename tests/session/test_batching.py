"""Several sessions in one batch: each generates what it generates alone, and fails alone."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmpy
from llmpy.backends.base import Batch, KvCache
from tests.session.conftest import STORIES
from tests.threads import finish

PROMPTS = ["Once upon a time", "The dog", "Lily and Tom went to the", "One day", "A", "He saw"]
POISON = 77  # a token that the plan of `Watched` refuses
Check = Callable[[], bool]


@pytest.fixture(scope="module", params=["cpu", "reference", "array"])
def model(
    request: pytest.FixtureRequest, shared_data: Callable[[str], Path]
) -> Iterator[llmpy.Model]:
    """A model that reads at most 8 tokens in a step."""
    with llmpy.load(shared_data(STORIES), backend=request.param, n_batch=8, n_ctx=128) as loaded:
        yield loaded


@pytest.fixture
def fast(shared_data: Callable[[str], Path]) -> Iterator[llmpy.Model]:
    """One for each test that tampers with it."""
    with llmpy.load(shared_data(STORIES), backend="cpu", n_batch=8, n_ctx=128) as loaded:
        yield loaded


class Watched:
    """A plan that notes its batches, and in whose first step something happens."""

    def __init__(self, model: llmpy.Model, first: Callable[[], object] = lambda: None) -> None:
        self.plan: Any = model._engine.plan
        self.first = first
        self.batches: list[list[int]] = []  # how many tokens each session had
        model._engine.plan = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)

    def run(self, batch: Batch, states: Sequence[KvCache]) -> Any:
        counts = np.bincount(batch.sessions, minlength=len(states)).tolist()
        self.note(counts, batch.tokens.tolist())
        return self.plan.run(batch, states)

    def generate(self, state: KvCache, history: Any, *rest: Any) -> Any:
        self.note([1], [history.item(-1)])
        return self.plan.generate(state, history, *rest)

    def note(self, counts: list[int], tokens: list[int]) -> None:
        self.batches.append(counts)
        if len(self.batches) == 1:
            self.first()
        if POISON in tokens:
            raise ValueError("poison")


def until(check: Check) -> None:
    """Wait for what other threads are about to do."""
    end = time.monotonic() + 20
    while not check():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.0005)


def waiting(model: llmpy.Model, n: int) -> Check:
    """Whether `n` requests are there, those of the step that runs included."""
    return lambda: model._engine.waiting.n_works == n


def sessions_of(model: llmpy.Model, n: int) -> list[llmpy.Session]:
    sessions = [model.session(seed=i) for i in range(n)]
    for session, prompt in zip(sessions, PROMPTS * n, strict=False):
        session.feed(prompt)
    return sessions


def alone(model: llmpy.Model, i: int, n: int) -> list[int]:
    """What session `i` of `sessions_of` says by itself."""
    session = sessions_of(model, i + 1)[i]
    return [session.next_token() for _ in range(n)]


def in_threads(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of all, or what they raised."""
    results: list[Any] = [None] * len(work)

    def go(i: int) -> None:
        try:
            results[i] = work[i]()
        except llmpy.LlmpyError as error:
            results[i] = error
        except ValueError as error:
            results[i] = error

    threads = [threading.Thread(target=go, args=(i,)) for i in range(len(work))]
    for thread in threads:
        thread.start()
    finish(*threads)
    return results


def test_sessions_in_a_list_say_what_each_says_alone(model: llmpy.Model) -> None:
    sessions = sessions_of(model, 6)
    columns = [llmpy.next_tokens(sessions) for _ in range(12)]
    rows = [list(row) for row in zip(*columns, strict=True)]
    assert rows == [alone(model, i, 12) for i in range(6)]


def test_a_list_is_one_step(fast: llmpy.Model) -> None:
    sessions = sessions_of(fast, 5)
    watched = Watched(fast)
    llmpy.next_tokens(sessions)
    assert watched.batches == [[1] * 5]


def test_more_sessions_than_a_batch_holds_take_several_steps(fast: llmpy.Model) -> None:
    sessions = sessions_of(fast, 19)
    watched = Watched(fast)
    tokens = llmpy.next_tokens(sessions)
    assert [len(batch) for batch in watched.batches] == [8, 8, 3]
    assert tokens == [alone(fast, i, 1)[0] for i in range(19)]


@settings(max_examples=40)
@given(
    steps=st.lists(
        st.tuples(st.lists(st.integers(0, 3), unique=True), st.lists(st.integers(3, 511))),
        max_size=12,
    )
)
def test_the_company_does_not_matter(
    fast_stories: llmpy.Model, steps: list[tuple[list[int], list[int]]]
) -> None:
    together, single = sessions_of(fast_stories, 4), sessions_of(fast_stories, 4)
    for members, prompt in steps:
        for i in members[:1]:
            together[i].transcript.append(
                prompt, prefill=False
            )  # so that a long part is read beside tokens
            single[i].feed(prompt)
        tokens = llmpy.next_tokens([together[i] for i in members])
        assert tokens == [single[i].next_token() for i in members]


def test_threads_say_what_each_says_alone(model: llmpy.Model) -> None:
    sessions = sessions_of(model, 6)
    start = threading.Barrier(6)

    def tell(session: llmpy.Session) -> list[int]:
        start.wait(20)
        return [session.next_token() for _ in range(12)]

    told = in_threads([lambda s=s: tell(s) for s in sessions])  # type: ignore[misc]
    assert told == [alone(model, i, 12) for i in range(6)]


def test_those_who_wait_share_the_next_step(fast: llmpy.Model) -> None:
    sessions = sessions_of(fast, 5)
    watched = Watched(fast, lambda: until(waiting(fast, 5)))
    in_threads([session.next_token for session in sessions])
    assert watched.batches == [[1], [1] * 4]


def test_a_long_prompt_holds_nobody_up(fast: llmpy.Model) -> None:
    reader, writer = fast.session(seed=0), sessions_of(fast, 1)[0]
    watched = Watched(fast, lambda: until(waiting(fast, 2)))

    def write() -> int:
        until(lambda: bool(watched.batches))
        return writer.next_token()

    _, token = in_threads([lambda: reader.feed([5] * 60), write])
    assert watched.batches[:2] == [[8], [1, 7]]  # the token, and the next part of the prompt
    assert len(watched.batches) > 7
    assert [token] == alone(fast, 0, 1)


def test_an_error_in_a_shared_step_reaches_the_one_who_made_it(fast: llmpy.Model) -> None:
    expected = [alone(fast, i, 1) for i in range(4)]
    sessions = sessions_of(fast, 4)
    sessions[2].feed([POISON])
    Watched(fast, lambda: until(waiting(fast, 4)))
    found = in_threads([session.next_token for session in sessions])
    assert str(found[2]) == "poison"
    assert [[found[i]] for i in (0, 1, 3)] == [expected[i] for i in (0, 1, 3)]


def test_an_error_in_one_sampler_leaves_the_others_their_tokens(model: llmpy.Model) -> None:
    def fails(_logits: np.ndarray, _session: llmpy.Session) -> np.ndarray:
        raise KeyError("mine")

    sessions = [*sessions_of(model, 2), model.session(sampler=fails)]
    with pytest.raises(KeyError, match="mine"):
        llmpy.next_tokens([sessions[0], sessions[2], sessions[1]])
    assert [s.tokens[-1:] for s in sessions[:2]] == [alone(model, i, 1) for i in range(2)]


def test_a_full_context_changes_nothing_for_anybody(fast: llmpy.Model) -> None:
    sessions = sessions_of(fast, 2)
    sessions[1].feed([5] * (128 - len(sessions[1])))
    before = [session.tokens for session in sessions]
    with pytest.raises(llmpy.ContextFull):
        llmpy.next_tokens(sessions)
    assert [session.tokens for session in sessions] == before


def test_sessions_of_one_list_differ_and_have_one_model(
    fast: llmpy.Model, fast_stories: llmpy.Model
) -> None:
    session = fast.session()
    with pytest.raises(ValueError, match="twice"):
        llmpy.next_tokens([session, session])
    with pytest.raises(ValueError, match="one model"):
        llmpy.next_tokens([session, fast_stories.session()])
    assert llmpy.next_tokens([]) == []


def test_a_closed_session_fails_alone(fast: llmpy.Model) -> None:
    sessions = sessions_of(fast, 3)

    def first() -> None:
        until(waiting(fast, 3))
        sessions[2].close()

    watched = Watched(fast, first)

    def third() -> int:
        until(lambda: bool(watched.batches))
        return sessions[2].next_token()

    found = in_threads([sessions[0].next_token, sessions[1].next_token, third])
    assert [[token] for token in found[:2]] == [alone(fast, i, 1) for i in range(2)]
    assert isinstance(found[2], llmpy.SessionClosed)


def test_closing_the_model_wakes_those_who_wait(fast: llmpy.Model) -> None:
    sessions = sessions_of(fast, 4)
    closing = threading.Thread(target=fast.close)

    def first() -> None:
        until(waiting(fast, 4))
        closing.start()

    Watched(fast, first)
    found = in_threads([lambda s=s: [s.next_token() for _ in range(50)] for s in sessions])  # type: ignore[misc]
    finish(closing)
    assert all(isinstance(x, llmpy.SessionClosed) or len(x) == 50 for x in found)
    with pytest.raises(llmpy.SessionClosed):
        sessions[0].next_token()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads here")
def test_an_interrupt_of_one_who_waits_ends_its_wait_alone(fast: llmpy.Model) -> None:
    sessions = sessions_of(fast, 2)
    main = threading.main_thread().ident
    assert main is not None

    def first() -> None:
        until(waiting(fast, 2))
        signal.pthread_kill(main, signal.SIGINT)
        until(waiting(fast, 1))

    watched = Watched(fast, first)
    generated: list[int] = []
    other = threading.Thread(target=lambda: generated.append(sessions[0].next_token()))
    other.start()
    until(lambda: bool(watched.batches))
    with pytest.raises(KeyboardInterrupt):
        sessions[1].next_token()
    finish(other)
    assert [generated, [sessions[1].next_token()]] == [alone(fast, i, 1) for i in range(2)]


def test_an_interrupt_of_the_one_who_leads_passes_the_lead_on(fast: llmpy.Model) -> None:
    sessions = sessions_of(fast, 3)
    generated: list[Any] = []
    others = threading.Thread(
        target=lambda: generated.extend(in_threads([s.next_token for s in sessions[1:]]))
    )

    def interrupted() -> None:
        others.start()
        until(waiting(fast, 3))
        raise KeyboardInterrupt

    Watched(fast, interrupted)
    with pytest.raises(KeyboardInterrupt):
        sessions[0].next_token()
    finish(others)
    assert [[token] for token in generated] == [alone(fast, i, 1) for i in (1, 2)]
    assert [sessions[0].next_token()] == alone(fast, 0, 1)


def test_an_interrupt_behind_the_step_loses_no_token(fast: llmpy.Model) -> None:
    session = sessions_of(fast, 1)[0]
    generate = fast._engine.plan.generate  # type: ignore[attr-defined]

    def interrupted(*arguments: Any) -> int:
        generate(*arguments)
        raise KeyboardInterrupt

    fast._engine.plan.generate = interrupted  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        session.next_token()
    fast._engine.plan.generate = generate  # type: ignore[attr-defined]
    assert [session.next_token(), session.next_token()] == alone(fast, 0, 2)
