"""Prompts continued in one call, alone or many in one batch."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, cast

from llmpy import checks
from llmpy.sampling import Rng
from llmpy.session.asynchronous import in_thread
from llmpy.session.events import FinishReason, Logprobs, Stats
from llmpy.session.session import Tally
from llmpy.session.stop import StopStrings

if TYPE_CHECKING:
    from llmpy.model import Model
    from llmpy.sampling import Chain, Sampler
    from llmpy.session.session import Session

__all__ = ["Completion", "Options", "acomplete", "complete"]

Prompt = str | Sequence[int]


class Options(TypedDict, total=False):
    """What `Model.generate` takes beside the prompt."""

    max_tokens: int | None
    stop: str | Iterable[str]
    sampler: Chain | Sampler | None
    seed: int | None
    logprobs: int | None
    special: bool
    n_parallel: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A generated text: `text` without the prompt, the `tokens` it came of, `stats`.

    `finish_reason` is that of `Piece`; `logprobs` has an entry for each token where they were asked
    for. `str()` is the text.
    """

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    stats: Stats
    logprobs: tuple[Logprobs, ...] = ()

    def __str__(self) -> str:
        return self.text


def complete(
    model: Model,
    prompt: Prompt | Sequence[Prompt],
    sampler: Any,
    seed: int | None,
    n_parallel: int,
    options: dict[str, Any],
    stopped: threading.Event | None = None,
) -> Completion | list[Completion]:
    """See `Model.generate`. Once `stopped` is set, what is unfinished ends with "callback"."""
    prompts, single = _prompts(prompt)
    checks.whole("n_parallel", n_parallel)
    if seed is not None:
        Rng(seed)  # which refuses what is no seed
    options = {**options, "stop": StopStrings(options["stop"]).strings}  # for each prompt
    stopped = stopped or threading.Event()

    def one(i: int) -> Completion:
        with model.session(
            sampler=sampler, seed=None if seed is None else (seed + i) % 2**64
        ) as session:
            return _complete(session, prompts[i], options, stopped)

    if len(prompts) == 1:
        found = [one(0)]
    else:
        with ThreadPoolExecutor(max(1, min(n_parallel, len(prompts)))) as threads:
            running = [threads.submit(one, i) for i in range(len(prompts))]
            try:
                found = [future.result() for future in running]
            except BaseException:
                stopped.set()
                threads.shutdown(cancel_futures=True)
                raise
    return found[0] if single else found


async def acomplete(
    model: Model,
    prompt: Prompt | Sequence[Prompt],
    sampler: Any,
    seed: int | None,
    n_parallel: int,
    options: dict[str, Any],
) -> Completion | list[Completion]:
    """See `Model.agenerate`."""
    stopped = threading.Event()
    call = partial(complete, model, prompt, sampler, seed, n_parallel, options, stopped)
    return await in_thread(call, cancel=stopped.set)


def _complete(
    session: Session, prompt: Prompt, options: dict[str, Any], stopped: threading.Event
) -> Completion:
    tally = Tally(session)
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
            if stopped.is_set():
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
