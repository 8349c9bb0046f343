"""Measuring the loss of a model: perplexity of a text, divergence from the model it was made of.

The text is cut into windows of `n_ctx` tokens, each begun with the token that begins texts, and the
second half of each is scored, so that every score has a past: as llama.cpp's tool does it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmpy import checks
from llmpy.model import Model

__all__ = ["Divergence", "MeasureEvent", "Perplexity", "divergence", "perplexity", "windows"]

_PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9, 100.0)


@dataclass(frozen=True, slots=True)
class MeasureEvent:
    """A progress event: the window just computed, of `total`, and the estimate so far."""

    window: int
    total: int
    estimate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Perplexity:
    """The perplexity, exp of the mean loss of `n_tokens` tokens, and its standard error."""

    value: float
    error: float
    n_tokens: int
    n_windows: int

    def __str__(self) -> str:
        return f"perplexity {self.value:.4f} +/- {self.error:.5f} ({self.n_tokens} tokens)"


@dataclass(frozen=True, slots=True)
class Divergence:
    """The Kullback-Leibler divergence of a model's probabilities from the base's, in nats.

    `mean` has the standard error `error`; `percentiles` are by percent; `same_top` is the fraction
    of positions where both models have the same most likely token; `perplexity` and `base` are the
    perplexities of both.
    """

    mean: float
    error: float
    percentiles: dict[float, float]
    same_top: float
    perplexity: Perplexity
    base: Perplexity

    def __str__(self) -> str:
        percentiles = ", ".join(f"{p:g}%: {value:.5f}" for p, value in self.percentiles.items())
        return (
            f"divergence {self.mean:.6f} +/- {self.error:.6f} ({percentiles}); "
            f"same top token {100 * self.same_top:.2f}%"
        )


def windows(model: Model, text: str, n_ctx: int, limit: int | None = None) -> list[list[int]]:
    """The text as token ids, in whole windows of `n_ctx`; the first token begins a text.

    Raises ValueError where there is not one, or where the model's context is smaller.
    """
    if not isinstance(model, Model):
        raise checks.wrong_type("model", "a Model", model)
    checks.text("text", text)
    checks.whole("n_ctx", n_ctx)
    if limit is not None:
        checks.whole("n_windows", limit)
    if not 8 <= n_ctx <= model.n_ctx:
        raise ValueError(f"n_ctx: expected 8 to {model.n_ctx} tokens, found {n_ctx}")
    tokenizer = model.tokenizer
    ids = tokenizer.encode(text, bos=tokenizer.add_bos, start=True)
    count = len(ids) // n_ctx
    if count < 1:
        raise ValueError(f"text: expected {n_ctx} tokens or more, found {len(ids)}")
    found = [ids[i * n_ctx : (i + 1) * n_ctx] for i in range(min(count, limit or count))]
    if tokenizer.add_bos and tokenizer.bos is not None:
        found = [[tokenizer.bos, *window[1:]] for window in found]
    return found


def perplexity(
    model: Model,
    text: str,
    *,
    n_ctx: int = 512,
    n_windows: int | None = None,
    progress: Callable[[MeasureEvent], object] | None = None,
) -> Perplexity:
    """Compute the perplexity of the model on `text`.

    The text is split into windows of `n_ctx` tokens, of which the first `n_windows` or all are
    used. Raises ValueError for a text that is too short, or a window longer than the model's
    context.
    """
    begin = time.perf_counter()
    checks.function("progress", progress)
    parts, losses = windows(model, text, n_ctx, n_windows), _Losses()
    for i, tokens in enumerate(parts):
        for logits, following in _scored(model, tokens):
            losses.add(_log_softmax(logits), following)
        _tell(progress, i, len(parts), losses.result(i + 1).value, begin)
    return losses.result(len(parts))


def divergence(
    model: Model,
    base: Model,
    text: str,
    *,
    n_ctx: int = 512,
    n_windows: int | None = None,
    progress: Callable[[MeasureEvent], object] | None = None,
) -> Divergence:
    """Measure the divergence of `model` from `base`, the original, on `text`.

    The windows are those of `perplexity`. Raises ValueError if the two have different vocabularies.
    """
    begin = time.perf_counter()
    checks.function("progress", progress)
    for name, value in (("model", model), ("base", base)):
        if not isinstance(value, Model):
            raise checks.wrong_type(name, "a Model", value)
    parts = windows(base, text, n_ctx, n_windows)
    if windows(model, text, n_ctx, n_windows) != parts or model.n_vocab != base.n_vocab:
        raise ValueError("base: expected a model with the same vocabulary, found another")
    own, others, distances, same = _Losses(), _Losses(), [], []
    for i, tokens in enumerate(parts):
        for (a, following), (b, _) in zip(
            _scored(model, tokens), _scored(base, tokens), strict=True
        ):
            p, q = _log_softmax(b), _log_softmax(a)
            own.add(q, following)
            others.add(p, following)
            distances.append((np.exp(p) * (p - q)).sum(axis=1))
            same.append(p.argmax(axis=1) == q.argmax(axis=1))
        _tell(progress, i, len(parts), float(np.concatenate(distances).mean()), begin)
    every = np.concatenate(distances)
    return Divergence(
        float(every.mean()),
        float(every.std() / math.sqrt(max(1, len(every) - 1))),
        {p: float(np.percentile(every, p)) for p in _PERCENTILES},
        float(np.concatenate(same).mean()),
        own.result(len(parts)),
        others.result(len(parts)),
    )


class _Losses:
    """A running mean of losses and of their squares."""

    def __init__(self) -> None:
        self.n = 0
        self.sum = self.squares = 0.0

    def add(self, log_p: NDArray[np.float64], following: Sequence[int]) -> None:
        loss = -log_p[np.arange(len(following)), list(following)]
        self.n += len(loss)
        self.sum += float(loss.sum())
        self.squares += float((loss * loss).sum())

    def result(self, n_windows: int) -> Perplexity:
        mean = self.sum / self.n
        variance = max(0.0, self.squares / self.n - mean * mean)
        value = math.exp(mean) if mean < 700 else math.inf
        error = value * math.sqrt(variance / max(1, self.n - 1))
        return Perplexity(value, error, self.n, n_windows)


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return result


def _scored(
    model: Model, tokens: Sequence[int]
) -> Iterator[tuple[NDArray[np.float32], Sequence[int]]]:
    """Logits of the second half of a window, with the tokens that follow."""
    first = len(tokens) // 2
    at = first + 1
    for logits in model.logits(tokens[:-1], first):
        yield logits, tokens[at : at + len(logits)]
        at += len(logits)


def _tell(
    progress: Callable[[MeasureEvent], object] | None,
    i: int,
    total: int,
    estimate: float,
    begin: float,
) -> None:
    if progress is not None:
        progress(MeasureEvent(i + 1, total, estimate, time.perf_counter() - begin))
