"""Many sessions at random, in many threads and one after the other: nothing is lost or torn."""

from __future__ import annotations

import gc
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from tests.session.test_edit import logits_of
from tests.threads import finish

STORIES = "weights/stories260K/stories260K.gguf"
N_CTX = 256


class Person:
    """Somebody who uses a session in every way, and knows what it must hold."""

    def __init__(self, model: llmpy.Model, seed: int) -> None:
        self.random = random.Random(seed)
        self.model = model
        self.session = model.session(sampler=llmpy.greedy())
        self.tokens: list[int] = []
        self.marks: list[tuple[llmpy.Mark, list[int]]] = []
        self.n_done = 0

    def ids(self) -> list[int]:
        """Mostly the same texts, so that prefixes are shared."""
        start, n = self.random.choice((0, 0, 0, 7, 300)), self.random.randint(1, 90)
        return [5 + (37 * (start + i)) % 400 for i in range(n)]

    def feed(self) -> None:
        ids = self.ids()
        if len(self.tokens) + len(ids) < N_CTX - 8:
            self.session.feed(ids)
            self.tokens += ids

    def rewind(self) -> None:
        n = self.random.randint(0, len(self.tokens))
        self.session.rewind(n)
        del self.tokens[n:]

    def edit(self) -> None:
        at = self.random.randint(0, len(self.tokens))
        end = self.random.randint(at, len(self.tokens))
        new = self.ids()[: max(1, end - at)]
        self.session.edit(at, new, end=end)
        self.tokens[at:end] = new
        if len(self.tokens) >= N_CTX - 8:
            self.session.rewind(10)
            del self.tokens[10:]

    def mark(self) -> None:
        if len(self.marks) == 3:
            self.marks.pop(0)[0].close()
        self.marks.append((self.session.mark(), self.tokens.copy()))

    def go_back(self) -> None:
        if self.marks:
            mark, tokens = self.random.choice(self.marks)
            self.session.rewind_to(mark)
            self.tokens = tokens.copy()

    def fork(self) -> None:
        old, self.session = self.session, self.session.fork()
        if self.random.random() < 0.5:
            old.feed(self.ids()[: N_CTX - 1 - len(old)])  # which is not seen here
        old.close()

    def save(self) -> None:
        """Go on from a file."""
        with tempfile.TemporaryDirectory() as folder:
            self.session.save(Path(folder) / "s")
            loaded = self.model.load_session(Path(folder) / "s")
        old, self.session = self.session, loaded
        old.close()

    def generate(self) -> None:
        n = self.random.randint(1, 5)
        if len(self.tokens) + n < N_CTX and self.tokens:
            self.tokens += [self.session.next_token() for _ in range(n)]

    def cancelled(self) -> None:
        """A prompt that is cancelled at any moment, or not at all."""
        ids = self.ids()
        if len(self.tokens) + len(ids) >= N_CTX - 8:
            return
        timer = threading.Timer(self.random.random() * 0.01, self.session.cancel)
        timer.start()
        try:
            self.session.feed(ids)
            self.tokens += ids
        except llmpy.Cancelled:
            pass
        timer.join()

    def draft(self) -> None:
        text = "Once upon a time there was a girl who had a dog"[: self.random.randint(1, 47)]
        if len(self.tokens) + 60 >= N_CTX:
            return
        draft = self.session.draft()
        for n in range(1, len(text) + 1, 3):
            draft.update(text[:n])
        if self.random.random() < 0.3:
            draft.close()
        else:
            draft.update(text)
            pieces = list(draft.commit(max_tokens=2))
            self.tokens += [piece.token for piece in pieces if piece.token is not None]

    def check(self) -> None:
        assert self.session.tokens == self.tokens
        if self.tokens:
            with self.model.session() as fresh:
                fresh.feed(self.tokens)
                np.testing.assert_array_equal(logits_of(self.session), logits_of(fresh))

    def live(self, until: float) -> None:
        uses: list[Callable[[], Any]] = [
            self.feed, self.feed, self.rewind, self.edit, self.mark, self.go_back, self.fork,
            self.generate, self.cancelled, self.draft, self.save, self.check,
        ]  # fmt: skip
        while self.n_done == 0 or time.monotonic() < until:
            self.random.choice(uses)()
            self.n_done += 1
        self.check()
        for mark, _ in self.marks:
            mark.close()
        self.session.close()


def live_together(model: llmpy.Model, n_threads: int, seconds: float) -> None:
    people = [Person(model, seed) for seed in range(n_threads)]
    errors: list[BaseException] = []
    until = time.monotonic() + seconds

    def live(person: Person) -> None:
        try:
            person.live(until)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=live, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    finish(*threads, seconds=60 + int(seconds))
    if errors:
        raise errors[0]
    people.clear()
    gc.collect()
    assert model._engine.pool.in_use == 0


OPTIONS: list[dict[str, Any]] = [
    {},
    {"prefix_cache_bytes": 30_000},  # of few pages
    {"max_total_tokens": 64 * N_CTX // 8, "prefix_cache_bytes": 30_000},
]


@pytest.mark.parametrize("options", OPTIONS, ids=["", "few pages kept", "few pages"])
def test_threads_at_random(shared_data: Callable[[str], Path], options: dict[str, Any]) -> None:
    with llmpy.load(shared_data(STORIES), backend="cpu", n_ctx=N_CTX, **options) as model:
        live_together(model, 8, 1.5)


@pytest.mark.full
@pytest.mark.parametrize("options", OPTIONS, ids=["", "few pages kept", "few pages"])
def test_threads_at_random_for_a_minute(
    shared_data: Callable[[str], Path], options: dict[str, Any]
) -> None:
    with llmpy.load(shared_data(STORIES), backend="cpu", n_ctx=N_CTX, **options) as model:
        live_together(model, 64, 60)


def resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("the resident memory is read from /proc")
    return int(statm.read_text().split()[1]) * 4096


def cycles(model: llmpy.Model, n: int) -> None:
    for i in range(n):
        with model.session() as session:
            session.feed([5 + (i + j) % 400 for j in range(70)])


def check_flat(shared_data: Callable[[str], Path], n: int) -> None:
    with llmpy.load(
        shared_data(STORIES), backend="cpu", n_ctx=128, prefix_cache_bytes=1 << 20
    ) as model:
        cycles(model, n // 5)
        gc.collect()
        before = resident_bytes()
        cycles(model, n)
        gc.collect()
        assert resident_bytes() - before < 4 << 20
        assert model._engine.pool.in_use == 0
        stats = model.prefix_cache()
        assert stats.n_bytes <= stats.max_bytes == 1 << 20


def test_sessions_one_after_the_other_take_no_more_memory(
    shared_data: Callable[[str], Path],
) -> None:
    check_flat(shared_data, 300)


@pytest.mark.full
def test_ten_thousand_sessions_take_no_more_memory(shared_data: Callable[[str], Path]) -> None:
    check_flat(shared_data, 10_000)
