"""The definition of a chain, in NumPy: one step after the other, the draw, and the state after it.

The native sampler gives the same bits. Also the explanation of a draw: the candidates before and
after each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from llmpy.errors import SamplerError
from llmpy.sampling.rng import Rng
from llmpy.sampling.step import BuiltIn, View
from llmpy.sampling.weights import Logits, draw, max_logit, weights

__all__ = ["Candidate", "Stage", "candidates", "described", "own", "sampled", "stepped"]

OwnStep = Callable[[Logits, Any], Logits]


class Candidate(NamedTuple):
    """A token that may be sampled, its logit, and its probability among the remaining tokens."""

    token: int
    logit: float
    probability: float


class Stage(NamedTuple):
    """The effect of a step: its name in sampler strings, and the candidates before and after it.

    `n_before` and `n_after` are the numbers of remaining tokens, `before` and `after` the most
    likely of them, best first.
    """

    step: str
    n_before: int
    n_after: int
    before: tuple[Candidate, ...]
    after: tuple[Candidate, ...]


def sampled(
    steps: Sequence[BuiltIn | OwnStep],
    logits: Logits,
    session: Any,
    rng: Rng,
    state: tuple[float, ...] | None = None,
    seen: Callable[[BuiltIn | OwnStep, Logits, Logits], None] | None = None,
) -> tuple[int, tuple[float, ...]]:
    """Return the token that a chain of steps draws, and what it remembers then.

    `rng` is only looked at. `seen` is called for each step with the logits before and after it.
    """
    last = steps[-1] if steps else None
    if state is None:
        state = last.initial_state() if isinstance(last, BuiltIn) else ()
    view = View(session, rng, state)
    before = after = logits
    max_logit(logits)
    for step in steps:
        before, after = after, stepped(step, after, view)
        if seen is not None:
            seen(step, before, after)
    token = draw(after, rng.peek())
    if isinstance(last, BuiltIn) and last.draws:
        state = last.next_state(before, after, token, state)
    return token, state


def stepped(step: BuiltIn | OwnStep, logits: Logits, view: View) -> Logits:
    """Return what one step makes of the logits; a step of the user's gets a copy."""
    if isinstance(step, BuiltIn):
        return step(logits, view)
    return own(step, logits.copy(), view.session)


def own(step: OwnStep, logits: Logits, session: Any) -> Logits:
    """Return what a step of the user's makes of logits that it may change in place, checked."""
    shape = logits.shape
    result = step(logits, session)
    name = getattr(step, "__qualname__", type(step).__qualname__)
    if not isinstance(result, np.ndarray) or result.dtype != np.float32 or result.shape != shape:
        raise SamplerError(
            f"sampler {name}: expected float32 of shape {shape}, found {described(result)}"
        )
    try:
        max_logit(result)
    except SamplerError as error:
        raise SamplerError(f"sampler {name} returned {error}") from None
    return result


def described(value: object) -> str:
    """Return what a value is, for errors."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return f"an object of type {type(value).__name__}"


def candidates(logits: Logits, n: int) -> tuple[int, tuple[Candidate, ...]]:
    """Return how many tokens are left, and the `n` likeliest of them, best first."""
    weight = weights(logits)
    total = float(int(weight.sum()))
    left = int(np.count_nonzero(logits > -np.inf))
    order = np.argsort(-logits, kind="stable")[: min(n, left)]
    found = (Candidate(int(i), float(logits[i]), float(weight[i]) / total) for i in order)
    return left, tuple(found)
