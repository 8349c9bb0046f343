"""Prompts continued in one call, alone or many in one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from llmpy import checks
from llmpy.sampling import Rng, Sampling
from llmpy.session.asynchronous import in_thread
from llmpy.session.events import FinishReason, Logprobs, Stats
from llmpy.session.session import Session
from llmpy.session.stop import StopStrings
from llmpy.session.tally import Tally

if TYPE_CHECKING:
    from llmpy.constraints import Constrain
    from llmpy.sampling import Chain, Sampler

__all__ = ["Completion", "Options", "acomplete", "complete"]

Prompt = str | Sequence[int]


class Options(Sampling, total=False):
    """The arguments of `Model.generate` besides the prompt."""

    max_tokens: int | None
    stop: str | Iterable[str]
    sampler: Chain | Sampler | str | None
    seed: int | None
    logprobs: int | None
    special: bool
    constrain: Constrain | None
    n_parallel: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A generated text: `text` without the prompt, the `tokens` it was decoded from, and `stats`.

    `finish_reason` is that of `Piece`. `logprobs` has an entry for each token if they were
    requested. `str()` returns the text.
    """

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    stats: Stats
    logprobs: tuple[Logprobs, ...] = ()

    def __str__(self) -> str:
        return self.text


class Running:
    """The sessions that work on one call, to cancel all of them."""

    def __init__(self) -> None:
        self._sessions = set[Session]()
        self._lock = threading.Lock()
        self.stopped = False

    def add(self, session: Session) -> None:
        """One more works on it."""
        with self._lock:
            self._sessions.add(session)

    def remove(self, session: Session) -> None:
        """It is done."""
        with self._lock:
            self._sessions.discard(session)

    def stop(self) -> None:
        """End all of them soon, and those that have not begun."""
        self.stopped = True
        with self._lock:
            for session in self._sessions:
                session.cancel()


def complete(
    new_session: Callable[..., Session],
    prompt: Prompt | Sequence[Prompt],
    seed: int | None,
    n_parallel: int,
    options: dict[str, Any],
    running: Running | None = None,
) -> Completion | list[Completion]:
    """See `Model.generate`; `running` stops what is unfinished, with the reason "cancelled"."""
    prompts, single = _prompts(prompt)
    checks.whole("n_parallel", n_parallel)
    if seed is not None:
        Rng(seed)  # which refuses what is no seed
    options = {**options, "stop": StopStrings(options["stop"]).strings}  # for each prompt
    running = running or Running()

    def one(i: int) -> Completion:
        own_seed = None if seed is None else (seed + i) % 2**64
        with new_session(seed=own_seed) as session:
            running.add(session)
            try:
                return _complete(session, prompts[i], options, running)
            finally:
                running.remove(session)

    if len(prompts) == 1:
        found = [one(0)]
    else:
        with ThreadPoolExecutor(max(1, min(n_parallel, len(prompts)))) as threads:
            futures = [threads.submit(one, i) for i in range(len(prompts))]
            try:
                found = [future.result() for future in futures]
            except BaseException:
                running.stop()
                threads.shutdown(cancel_futures=True)
                raise
    return found[0] if single else found


async def acomplete(
    new_session: Callable[..., Session],
    prompt: Prompt | Sequence[Prompt],
    seed: int | None,
    n_parallel: int,
    options: dict[str, Any],
) -> Completion | list[Completion]:
    """See `Model.agenerate`."""
    running = Running()
    call = partial(complete, new_session, prompt, seed, n_parallel, options, running)
    return await in_thread(call, cancel=running.stop)


def _complete(
    session: Session, prompt: Prompt, options: dict[str, Any], running: Running
) -> Completion:
    tally = Tally(session.transcript)
    texts, tokens, logprobs = [], [], []
    events = session.stream(prompt, **options)
    with closing(events):
        for piece in events:
            tally.add(piece)
            if piece.kind != "prompt":
                texts.append(piece.text)
                if piece.token is not None:
                    tokens.append(piece.token)
                if piece.logprobs is not None:
                    logprobs.append(piece.logprobs)
            if running.stopped:
                break
    stats = tally.stats()
    return Completion("".join(texts), tuple(tokens), stats.finish_reason, stats, tuple(logprobs))


def _prompts(prompt: Prompt | Sequence[Prompt]) -> tuple[list[Prompt], bool]:
    """The prompts, and whether it was one that is no list of prompts."""
    if isinstance(prompt, str):
        return [prompt], True
    if not isinstance(prompt, Sequence) or isinstance(prompt, bytes):
        raise checks.wrong_type("prompt", "a text or a list", prompt)
    if prompt and not isinstance(prompt[0], str | Sequence):
        return [cast("Sequence[int]", prompt)], True
    return list(cast("Sequence[Prompt]", prompt)), False
