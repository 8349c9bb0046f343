"""Methods of a model on texts besides generation: embeddings, ranks, logits, hidden states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import checks
from llmpy.backends.base import Plan
from llmpy.engine import Engine
from llmpy.errors import ContextFull, UnsupportedModelError
from llmpy.format import TensorInfo
from llmpy.graph import Graph, for_pairs, is_encoder, states
from llmpy.process import ProcessBound
from llmpy.session.asynchronous import in_thread
from llmpy.session.embedding import (
    Embedder,
    Pooling,
    check_generates,
    checked_pooling,
    rows_of,
    token_ids,
)
from llmpy.session.fingerprint import SavedModel
from llmpy.session.lengths import check_lengths
from llmpy.session.ranking import Classifier, Ranked, has_pairs, pairs_of, ranked
from llmpy.session.scoring import Score, scored
from llmpy.tokenizer import Tokenizer

__all__ = ["Reader"]


class Reader(ProcessBound):
    """The methods of `Model` that score and embed texts; `Model` itself makes sessions."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    graph: Graph
    tokenizer: Tokenizer
    n_ctx: int
    n_vocab: int
    n_batch: int
    saved: SavedModel
    _engine: Engine
    _classifier: Classifier | None
    _readers: dict[bool, Embedder]
    _compiled: Callable[[Graph], Plan] | None

    def embed(
        self,
        texts: str | Sequence[str | Sequence[int]],
        *,
        pooling: Pooling | None = None,
        normalize: bool = True,
        truncate: bool | int | None = None,
    ) -> NDArray[np.float32]:
        """Return an embedding for each text: float32 [n, n_embd].

        `texts`: strings, or token ids that are taken as they are; for one string, one row.
        `pooling` of the last hidden states: "mean" of all tokens, "cls" for the first, "last"; by
        default what the file says, else "mean" for encoders and "last" for decoders. `normalize`:
        scale to a length of 1. The embeddings are batch invariant: the same text gives the same
        bits, whatever else is in the list.

        `truncate`: truncate longer texts to this many tokens, including the closing token. True: to
        the model's maximum; False: never; None: to the `max_seq_length` of a sentence-transformers
        folder, as that library does, with a RuntimeWarning; without one, never.

        Raises before any text is computed, and names all texts at fault: ContextFull for texts
        longer than `n_ctx`, ValueError for texts without tokens or, for an encoder, which reads a
        text in one batch, longer than `n_batch`.
        """
        self._engine.check_open()
        checks.flag("normalize", normalize)
        chosen = checked_pooling(self, pooling)
        ids = token_ids(self, texts, truncate)
        check_lengths(self, [len(text) for text in ids])
        return self._reader().embed(ids, chosen, normalize)

    def _reader(self, paired: bool = False) -> Embedder:
        """Return the reader of texts, or of pairs, by the graph without logits; made when needed.

        `paired`: tokens of a second text have other rows than those of the first.
        """
        with self._engine.lock:
            self._engine.check_open()
            if paired not in self._readers:
                assert self._compiled is not None
                graph = states(self.graph)
                plan = self._compiled(for_pairs(graph) if paired else graph)
                lock = self._engine.lock
                kv = self._engine.pool.kv
                engine = Engine(plan, kv, n_ctx=self.n_ctx, n_batch=self.n_batch, lock=lock)
                self._readers[paired] = Embedder(engine, whole=is_encoder(graph))
            return self._readers[paired]

    async def aembed(
        self,
        texts: str | Sequence[str | Sequence[int]],
        *,
        pooling: Pooling | None = None,
        normalize: bool = True,
        truncate: bool | int | None = None,
    ) -> NDArray[np.float32]:
        """Run `embed` in asyncio; when cancelled, it waits until the embeddings are computed."""
        embed = partial(self.embed, pooling=pooling, normalize=normalize, truncate=truncate)
        return await in_thread(lambda: embed(texts))

    def rank(
        self, query: str, texts: Iterable[str], *, normalize: bool = True, truncate: bool = False
    ) -> list[Ranked]:
        """Score how well each text fits the query, by a reranker's classifier; best first.

        Each `Ranked` has the text's index and its score: from 0 to 1 with `normalize`, else the
        output of the model's head. `truncate`: truncate texts that are too long together with the
        query. A text's score does not depend on the other texts. Raises UnsupportedModelError for a
        model without a classifier of one label (or of yes and no), and for lengths what `embed`
        raises.
        """
        self._engine.check_open()
        checks.flags(normalize=normalize, truncate=truncate)
        classifier = self._classifier
        if classifier is None:
            raise UnsupportedModelError(
                self.path, "tensors cls.*", "a model with a classifier's head", "none of them",
                hint="Model.embed() gives embeddings of texts, which can be compared",
            )  # fmt: skip
        classifier.check(self)
        paired = has_pairs(self.tensors, self.graph)
        ids = pairs_of(self, query, texts, paired, truncate)
        check_lengths(self, [len(pair) for pair in ids])
        found = self._reader(paired).embed(ids, classifier.pooling, normalize=False)
        return ranked([classifier.score(state, normalize) for state in found])

    async def arank(
        self, query: str, texts: Iterable[str], *, normalize: bool = True, truncate: bool = False
    ) -> list[Ranked]:
        """Run `rank` in asyncio; when cancelled, it waits until the scores are computed."""
        call = partial(self.rank, query, texts, normalize=normalize, truncate=truncate)
        return await in_thread(call)

    def score(
        self,
        text: str | Sequence[int],
        *,
        after: str | Sequence[int] = "",
        top: int = 0,
        special: bool = False,
    ) -> Score:
        """Return the log-probability of each token of a text under the model.

        `after`: what comes before it, which is not scored, as in `model.score(" Paris", after="The
        capital of France is")`. `top`: how many of the most likely tokens to report at each
        position. `special`: whether control tokens written in `text` and `after` are encoded as
        such. The text is scored concurrently with other calls of the model, in bounded memory.
        Raises ContextFull for more tokens than `n_ctx`, ValueError for a text without tokens,
        UnsupportedModelError for an encoder.
        """
        checks.whole("top", top, 0)
        before = self._scored_ids("after", after, special, start=True)
        ids = self._scored_ids("text", text, special, start=not before)
        if not ids:
            raise ValueError("text: expected at least one token, found none")
        whole = before + ids
        rows = self.logits(whole[:-1], max(len(before) - 1, 0))
        return scored(rows, ids, len(before), top)

    def _scored_ids(
        self, name: str, text: str | Sequence[int], special: bool, *, start: bool
    ) -> list[int]:
        """The ids of a text; one that begins there has its begin-of-text token, as for sessions."""
        if not isinstance(text, str):
            return checks.token_ids(name, text, self.n_vocab)
        if not text:
            return []
        bos = None if start else False
        return self.tokenizer.encode(text, special=special, bos=bos, start=start)

    async def ascore(
        self,
        text: str | Sequence[int],
        *,
        after: str | Sequence[int] = "",
        top: int = 0,
        special: bool = False,
    ) -> Score:
        """Run `score` in asyncio; when cancelled, it waits until the scores are computed."""
        call = partial(self.score, text, after=after, top=top, special=special)
        return await in_thread(call)

    def logits(self, tokens: Sequence[int], first: int = 0) -> Iterator[NDArray[np.float32]]:
        """Yield the logits after each of `tokens`, from index `first` on.

        Each array is float32 [n, n_vocab] for a step of up to `n_batch` tokens and 64 MB of logits.
        It is valid until the next step: a prompt of any length takes no more memory than that.
        Raises ContextFull for more tokens than `n_ctx`, ValueError for ids out of range,
        UnsupportedModelError for an encoder.
        """
        self._engine.check_open()
        check_generates(self)
        return rows_of(self._engine, self._checked_ids(tokens, first), first)

    def hidden_states(self, tokens: Sequence[int], first: int = 0) -> Iterator[NDArray[np.float32]]:
        """Yield the last hidden state of each of `tokens`, from index `first` on.

        Each array is float32 [n, n_embd], in steps as those of `logits`; for an encoder, one array
        has all. Raises what `logits` raises, and ValueError for a text longer than the batch of an
        encoder.
        """
        self._engine.check_open()
        ids = self._checked_ids(tokens, first)
        if ids:
            check_lengths(self, [len(ids)])
        return self._reader().states(ids, first)

    def _checked_ids(self, tokens: Sequence[int], first: int) -> list[int]:
        ids = checks.token_ids("tokens", tokens, self.n_vocab)
        checks.whole("first", first, 0)
        if len(ids) > self.n_ctx:
            raise ContextFull(self.n_ctx, len(ids))
        return ids

    def _close_readers(self) -> None:
        self._compiled = None
        for reader in self._readers.values():
            reader.close()
