"""Texts to vectors: the last states of a model, one for each token, pooled to one for each text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmpy import checks
from llmpy.arch.classification import RANK
from llmpy.engine import Work
from llmpy.errors import UnsupportedModelError
from llmpy.graph import has_head, is_encoder
from llmpy.session.lengths import truncated

if TYPE_CHECKING:
    from llmpy.engine import Engine
    from llmpy.engine import Sequence as TokenSequence
    from llmpy.session.described import Described

__all__ = ["Embedder", "Pooling", "check_generates", "checked_pooling", "rows_of", "token_ids"]

Pooling = Literal["mean", "cls", "last"]
Array = NDArray[np.float32]
Piece = tuple[int, int, int]  # of which text, from where, to where

ROWS_BYTES = 64 << 20  # of logits or states that are given out at once
_POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "last")
_NUMBERS: dict[int, Pooling] = {1: "mean", 2: "cls", 3: "last"}  # in GGUF; 4 is a ranker's


class Embedder:
    """Reads texts by an engine whose plan gives the states of tokens, not their logits.

    `whole`: a text must be read in one step, for its tokens look at those after them.
    """

    def __init__(self, engine: Engine, *, whole: bool) -> None:
        self._engine = engine
        self._whole = whole

    def embed(self, texts: Sequence[list[int]], pooling: Pooling, normalize: bool) -> Array:
        """One vector for each text of token ids, none too long: float32 [n, n_embd]."""
        result = np.zeros((len(texts), self._engine.n_outputs), np.float32)
        rows: dict[int, list[Array]] = {}
        open_texts: dict[int, TokenSequence] = {}
        try:
            for pieces in self._batches([len(ids) for ids in texts]):
                for text, _, _ in pieces:
                    if text not in open_texts:
                        open_texts[text] = self._engine.sequence()
                        open_texts[text].append(texts[text])
                works = [
                    self._work(open_texts[text], start, end, pooling) for text, start, end in pieces
                ]
                self._engine.run(works)
                for (text, _, end), work in zip(pieces, works, strict=True):
                    if work.error is not None:
                        raise work.error
                    rows.setdefault(text, []).extend(work.found)
                    if end == len(texts[text]):
                        self._engine.release(open_texts.pop(text))
                        result[text] = _pooled(np.concatenate(rows.pop(text)), normalize)
        finally:
            for sequence in open_texts.values():
                self._engine.release(sequence)
        return result

    def states(self, ids: Sequence[int], first: int) -> Iterator[Array]:
        """The states of one text from token number `first` on, in parts: float32 [n, n_embd]."""
        if first >= len(ids):
            return iter([np.zeros((0, self._engine.n_outputs), np.float32)])
        return rows_of(self._engine, ids, first, whole=self._whole)

    def close(self) -> None:
        """Free the plan."""
        self._engine.close()

    def _batches(self, lengths: list[int]) -> Iterator[list[Piece]]:
        """Pieces of texts that make up batches, in order; of an encoder, whole texts."""
        room, pieces = self._engine.n_batch, list[Piece]()
        for text, length in enumerate(lengths):
            start = 0
            while start < length:
                if not room or (self._whole and length > room):
                    yield pieces
                    room, pieces = self._engine.n_batch, []
                end = min(length, start + room)
                pieces.append((text, start, end))
                room -= end - start
                start = end
        if pieces:
            yield pieces

    def _work(self, sequence: TokenSequence, start: int, end: int, pooling: Pooling) -> Work:
        """Compute a piece of a text, and the states in it that the text's vector is made of."""
        first = {"mean": start, "cls": 0, "last": len(sequence) - 1}[pooling]
        stop = end if pooling == "mean" else first + 1
        first, stop = max(first, start), min(stop, end)
        work = Work(sequence, end, first, max(first, stop))
        work.whole = self._whole
        return work


def rows_of(
    engine: Engine, ids: Sequence[int], first: int, *, whole: bool = False
) -> Iterator[Array]:
    """Yield what the engine's plan gives for each token from number `first` on: float32 [n, width].

    A step has so few tokens that its rows take ROWS_BYTES at most; `whole`: one step has them all.
    """
    n, start = len(ids), 0
    if first >= n:
        return
    size = max(1, min(engine.n_batch, ROWS_BYTES // (4 * engine.n_outputs)))
    sequence = engine.sequence()
    sequence.append(np.array(ids, np.int32))
    try:
        while start < n:
            stop = n if whole else first if start < first else min(n, start + size)
            work = Work(sequence, stop, max(first, start), stop)
            work.whole = whole
            engine.run((work,))
            if work.error is not None:
                raise work.error
            yield from work.found
            start = stop
    finally:
        engine.release(sequence)


def _pooled(rows: Array, normalize: bool) -> Array:
    """The mean of one row or all, of length 1 if so wished; in float64, row after row."""
    mean = np.zeros(rows.shape[1])
    for row in rows:
        mean += row
    mean /= len(rows)
    length = float(np.sqrt(np.sum(mean * mean)))
    return (mean / length if normalize and length else mean).astype(np.float32)


def _usual_pooling(model: Described) -> Pooling:
    """Return the file's pooling, else the mean for an encoder, the last token for a decoder."""
    key = f"{model.metadata['general.architecture']}.pooling_type"
    number: Any = model.metadata.get(key, 0)
    if number == 0:
        return "mean" if is_encoder(model.graph) else "last"
    if number not in _NUMBERS:
        known = ", ".join(f"{n} ({name})" for n, name in _NUMBERS.items())
        raise UnsupportedModelError(model.path, key, f"one of {known}", repr(number)[:80])
    return _NUMBERS[number]


def check_generates(model: Described) -> None:
    """Refuse a model whose graph gives states of tokens and no logits."""
    key, encodes = "general.architecture", is_encoder(model.graph)
    ranks = model.metadata.get(f"{model.metadata[key]}.pooling_type") == RANK
    if not encodes and not ranks and has_head(model.graph):
        return
    kind = "a reranker" if ranks else "an encoder" if encodes else "without an output matrix"
    hint = "Use Model.rank() to score texts" if ranks else "Use Model.embed() for embeddings"
    found = f"{model.metadata[key]!r}, {kind}"
    raise UnsupportedModelError(model.path, key, "a model that generates text", found, hint=hint)


def checked_pooling(model: Described, pooling: str | None) -> Pooling:
    """A name that is known; None for what the model's file says."""
    if pooling is None:
        return _usual_pooling(model)
    for known in _POOLINGS:
        if pooling == known:
            return known
    raise ValueError(f"pooling: expected one of {', '.join(_POOLINGS)}, found {pooling!r}")


def token_ids(
    model: Described, texts: str | Sequence[str | Sequence[int]], truncate: bool | int | None
) -> list[list[int]]:
    """The ids of each text, with the tokens around it that the file wants; given ids are kept.

    `truncate` is that of `Model.embed`.
    """
    if isinstance(texts, bytes | bytearray) or not isinstance(texts, Iterable):
        raise checks.wrong_type("texts", "a string or a sequence of texts", texts)
    listed = [texts] if isinstance(texts, str) else list(texts)
    encode = model.tokenizer.encode
    result = []
    for i, text in enumerate(listed):
        if isinstance(text, str):
            result.append(encode(text, bos=None, eos=None))
        else:
            result.append(checks.token_ids(f"texts: text {i}", text, model.n_vocab))
    return truncated(model, listed, result, truncate)
