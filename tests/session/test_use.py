"""Who may use a session: one thread at a time, and no stream after something else was done."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import llmpy
from tests.threads import finish, in_thread

BEGIN = "Once upon a time there was"


# A stream and what comes after it


def test_a_stale_stream_takes_nothing_back(stories: llmpy.Model) -> None:
    session = stories.session(sampler=llmpy.greedy())
    stream = session.stream(BEGIN, max_tokens=10)
    next(stream)
    next(stream)
    session.infer(" Tim", max_tokens=8)
    tokens = session.tokens
    del stream
    gc.collect()
    assert session.tokens == tokens
    other = stories.session(sampler=llmpy.greedy())
    other.feed(tokens[:2])
    other.infer(" Tim", max_tokens=8)
    assert other.tokens == tokens  # as if the stream had been closed before


USES: dict[str, Callable[[llmpy.Session], object]] = {
    "infer": lambda s: s.infer(" and", max_tokens=3),
    "feed": lambda s: s.feed(" and"),
    "next_token": lambda s: s.next_token(),
    "next_tokens": lambda s: llmpy.next_tokens([s]),
    "rewind": lambda s: s.rewind(1),
    "stream": lambda s: list(s.stream(" and", max_tokens=3)),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("n_pieces", [2, 9])  # in the prompt, and generated
def test_any_use_ends_an_open_stream(fast_stories: llmpy.Model, use: str, n_pieces: int) -> None:
    session, other = (fast_stories.session(sampler=llmpy.greedy()) for _ in range(2))
    stream = session.stream("Once upon a time", max_tokens=50)
    shown = [next(stream).token for _ in range(n_pieces)]
    other.feed([token for token in shown if token is not None])
    USES[use](session)
    USES[use](other)
    tokens = session.tokens
    with pytest.raises(llmpy.SessionInUse, match="stream has ended"):
        next(stream)
    stream.close()
    assert session.tokens == tokens == other.tokens


def test_a_fork_leaves_a_stream_open(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(sampler=llmpy.greedy())
    stream = session.stream("Once", max_tokens=5)
    pieces = [next(stream) for _ in range(4)]
    fork = session.fork()
    pieces += stream
    assert pieces[-1].finish_reason == "length"
    assert session.tokens[: len(fork)] == fork.tokens


def test_a_stream_that_has_not_begun_says_its_prompt_where_it_begins(
    fast_stories: llmpy.Model,
) -> None:
    session = fast_stories.session()
    stream = session.stream([7, 8], max_tokens=0)
    session.feed([5, 6])
    list(stream)
    assert session.tokens == [5, 6, 7, 8]


# Two threads


def test_the_second_thread_gets_an_error(fast_stories: llmpy.Model) -> None:
    begun, done = threading.Event(), threading.Event()

    def wait(logits: np.ndarray, _session: llmpy.Session) -> np.ndarray:
        begun.set()
        assert done.wait(20)
        return logits

    session = fast_stories.session(sampler=llmpy.chain(wait, llmpy.greedy()))
    found: list[llmpy.Stats] = []
    thread = threading.Thread(target=lambda: found.append(session.infer(BEGIN, max_tokens=5)))
    thread.start()
    assert begun.wait(20)
    for use in [*USES.values(), lambda s: s.fork()]:
        with pytest.raises(llmpy.SessionInUse, match="another thread is using this session"):
            use(session)
    assert session.text == BEGIN  # which may be looked at
    done.set()
    finish(thread)
    assert found[0].n_generated == 5
    single = fast_stories.session(sampler=llmpy.greedy())
    single.infer(BEGIN, max_tokens=5)
    assert session.tokens == single.tokens


def test_an_open_stream_belongs_to_its_thread(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    stream = session.stream(BEGIN, max_tokens=10)
    next(stream)
    assert isinstance(in_thread(session.next_token), llmpy.SessionInUse)
    assert isinstance(in_thread(lambda: next(stream)), llmpy.Piece)  # handed over
    with pytest.raises(llmpy.SessionInUse, match="open in another thread"):
        session.next_token()
    stream.close()
    session.next_token()


def test_a_task_that_left_its_loop_may_go_on(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(sampler=llmpy.greedy())

    async def main() -> None:
        stream = session.astream(BEGIN, max_tokens=10)
        for _ in range(3):
            await anext(stream)
        await session.anext_token()
        with pytest.raises(llmpy.SessionInUse):
            await anext(stream)

    asyncio.run(main())
    assert len(session) == 4


def test_many_threads_on_one_session_leave_no_mixed_text(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(sampler=llmpy.greedy())
    alone = fast_stories.session(sampler=llmpy.greedy())
    alone.infer(BEGIN, max_tokens=40)

    def use(_: int) -> int:
        refused = 0
        for _ in range(20):
            try:
                session.rewind(0)
                session.infer(BEGIN, max_tokens=40)
            except llmpy.SessionInUse:
                refused += 1
            else:
                continue
            try:
                session.fork().close()
            except llmpy.SessionInUse:
                refused += 1
        return refused

    threads = [threading.Thread(target=use, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    finish(*threads)
    session.rewind(0)
    session.infer(BEGIN, max_tokens=40)
    assert session.tokens == alone.tokens


def test_a_callback_may_use_its_session(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(sampler=llmpy.greedy())
    forks: list[llmpy.Session] = []
    session.infer("Once", lambda _: forks.append(session.fork()), max_tokens=3)
    assert [len(fork) for fork in forks][-1] == len(session)


def test_several_threads_may_fork_one_session(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(sampler=llmpy.greedy())
    session.feed(BEGIN)
    start = threading.Barrier(4)
    failed: list[Exception] = []

    def fork() -> None:
        start.wait(20)
        try:
            for _ in range(50):
                session.fork().close()
        except llmpy.SessionInUse as error:
            failed.append(error)

    threads = [threading.Thread(target=fork) for _ in range(4)]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert failed == []


# Forks that differ


def test_forks_differ_by_their_seeds(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(seed=1)
    session.feed(BEGIN)
    texts = []
    for seed in (1, 2, 3, 2):
        fork = session.fork(seed=seed)
        fork.infer(max_tokens=20)
        texts.append(fork.text)
    assert len(set(texts)) == 3
    assert texts[1] == texts[3]
    session.infer(max_tokens=20)
    assert session.text == texts[0]


def test_a_fork_without_a_seed_goes_on_alike(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(seed=4)
    session.infer(BEGIN, max_tokens=5)
    fork = session.fork()
    for one in (fork, session):
        one.infer(max_tokens=20)
    assert fork.tokens == session.tokens


@pytest.mark.parametrize("sampler", [llmpy.greedy(), lambda logits, _: logits * np.float32(9)])
def test_a_fork_may_have_another_sampler(fast_stories: llmpy.Model, sampler: Any) -> None:
    session = fast_stories.session(seed=4)
    session.feed(BEGIN)
    fork = session.fork(sampler=sampler, seed=1)
    other = fast_stories.session(sampler=sampler, seed=1)
    fork.infer(max_tokens=20)
    other.infer(BEGIN, max_tokens=20)
    assert fork.tokens == other.tokens


# Sessions that have ended


def ending(model: llmpy.Model, after: int) -> llmpy.Session:
    """A session that generates an end-of-text token after so many others."""
    end, n_prompt = min(model.tokenizer.end_ids), 4

    def sampler(logits: np.ndarray, session: llmpy.Session) -> np.ndarray:
        only = np.full_like(logits, -np.inf)
        only[end if len(session) == n_prompt + after else 9] = 0
        return only

    session = model.session(sampler=sampler)
    session.feed([5, 6, 7, 8])
    return session


def test_what_has_ended_stays_ended(fast_stories: llmpy.Model) -> None:
    end = min(fast_stories.tokenizer.end_ids)
    sessions = [ending(fast_stories, 1), ending(fast_stories, 3)]
    rows = []
    while not all(session.ended for session in sessions):
        rows.append(llmpy.next_tokens(sessions))
    assert rows == [[9, 9], [end, 9], [end, 9], [end, end]]
    assert [len(session) for session in sessions] == [4 + 2, 4 + 4]
    assert llmpy.next_tokens(sessions) == [end, end]
    assert llmpy.next_tokens(sessions, ignore_eos=True) == [9, 9]
    assert not sessions[0].ended


def test_what_was_fed_does_not_end_a_session(fast_stories: llmpy.Model) -> None:
    end = min(fast_stories.tokenizer.end_ids)
    session = fast_stories.session()
    session.feed([5, end])
    assert not session.ended
    llmpy.next_tokens([session])
    assert len(session) == 3
    other = ending(fast_stories, 0)
    llmpy.next_tokens([other])
    assert other.ended
    other.feed([5])
    assert not other.ended
    other.rewind(4)
    assert not other.ended


# os.fork()


def child_says(work: Callable[[], str]) -> str:
    """What `work` returns in a forked child, which must answer within 20 seconds."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, work().encode())
        except BaseException as error:
            os.write(write, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], 20)
    if not ready:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    answer = os.read(read, 1000).decode() if ready else "it hangs"
    os.close(read)
    return answer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks with threads, from 3.12 on
def test_a_child_forked_while_others_infer_goes_on(fast_stories: llmpy.Model) -> None:
    expected = fast_stories.generate(BEGIN, max_tokens=10, sampler=llmpy.greedy()).text
    busy = [fast_stories.session(seed=i) for i in range(3)]
    idle = fast_stories.session(sampler=llmpy.greedy())
    idle.feed(BEGIN)
    end = threading.Event()

    def use(session: llmpy.Session) -> None:
        while not end.is_set():
            session.rewind(0)
            session.infer(BEGIN, max_tokens=60)

    def child() -> str:
        found = [fast_stories.generate(BEGIN, max_tokens=10, sampler=llmpy.greedy()).text]
        begin = len(idle.text)
        idle.infer(max_tokens=10)
        found.append(idle.text[begin:])
        for session in busy:
            try:
                session.next_token()
            except llmpy.SessionInUse:
                continue
            session.close()
        return str(found == [expected, expected])

    threads = [threading.Thread(target=use, args=(session,)) for session in busy]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            time.sleep(0.01)
            assert child_says(child) == "True"
    finally:
        end.set()
        finish(*threads)
    assert fast_stories.generate(BEGIN, max_tokens=10, sampler=llmpy.greedy()).text == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_session_in_use_elsewhere_refuses_in_a_child(fast_stories: llmpy.Model) -> None:
    begun, done = threading.Event(), threading.Event()

    def wait(logits: np.ndarray, _session: llmpy.Session) -> np.ndarray:
        begun.set()
        assert done.wait(20)
        return logits

    session = fast_stories.session(sampler=wait)
    thread = threading.Thread(target=lambda: session.infer(BEGIN, max_tokens=1))
    thread.start()
    assert begun.wait(20)
    try:
        assert child_says(lambda: str(session.next_token())) == "SessionInUse"
    finally:
        done.set()
        finish(thread)
