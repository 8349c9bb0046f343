"""The state of a text that must match a constraint, advanced token by token."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llmpy.errors import ConstraintError
from llmpy.ffi import address

if TYPE_CHECKING:
    from llmpy.constraints.constraint import Constraint
    from llmpy.tokenizer import Tokenizer

__all__ = ["ConstraintState", "Tokens"]

WORTH_A_THREAD = 0.0005  # seconds that a mask must take, so that another thread computes it
_THREADS: dict[int, ThreadPoolExecutor] = {}  # by process: a forked child has none of them


class Tokens(Protocol):
    """The tokens of a sequence."""

    def part(self, start: int, end: int) -> NDArray[np.int32]:
        """Return the ids from `start` to `end`."""

    def __len__(self) -> int: ...


class ConstraintState:
    """The state of one constraint in one sequence, whose text it governs from token `start` on.

    Tokens that were appended to the sequence are taken in when they are asked about, so that it
    does not matter who chose them. One that is not `active` waits to be put into its sequence. With
    `recording`, `logprobs` has the log-probability of each token among those that were allowed:
    0.0 for a forced one.
    """

    def __init__(
        self,
        matcher: Any,
        tokenizer: Tokenizer,
        constraint: Constraint,
        *,
        recording: bool = False,
    ) -> None:
        self.active = True
        self.start = 0
        self.n_taken = 0  # tokens behind `start` that the matcher knows
        self.n_forced = 0
        self.constraint = constraint
        self.logprobs: list[float] | None = [] if recording else None
        self._matcher = matcher
        self._tokenizer = tokenizer
        self._n_vocab = tokenizer.n_embedded
        self._words: NDArray[np.uint32] = np.zeros(-(-self._n_vocab // 32), np.uint32)
        self._words_at: int = address(self._words)
        self._is_computed = False  # whether `_words` are those of the next token
        self._running: Future[None] | None = None
        self._forced: list[int] | None = None  # tokens that must come next; None: not known
        self._seconds = 0.0  # that the last mask took

    def restart(self, start: int) -> None:
        """Begin again with a text that begins at token `start`."""
        self._settle()
        if self.n_taken:
            self._matcher.reset()
        self.start, self.n_taken, self.n_forced = start, 0, 0
        if self.logprobs is not None:
            self.logprobs = []
        self._changed()

    def moved(self, n: int) -> None:
        """The sequence has `n` tokens more than before in front of the text."""
        self.start += n

    def truncate(self, n: int) -> None:
        """The sequence has only its first `n` tokens left."""
        n = max(0, n - self.start)
        if n < self.n_taken:
            self._settle()
            if not self._matcher.rollback(self.n_taken - n):
                raise ConstraintError(f"cannot go back: {self._why()}")
            self.n_taken = n
            self._changed()
        if self.logprobs is not None:
            del self.logprobs[n:]

    def fork(self) -> ConstraintState:
        """Return the same state for a second sequence."""
        self._settle()
        other = ConstraintState(self._matcher.deep_copy(), self._tokenizer, self.constraint)
        other.active, other.start, other.n_taken = self.active, self.start, self.n_taken
        other.n_forced = self.n_forced
        other.logprobs = None if self.logprobs is None else list(self.logprobs)
        return other

    def take(self, tokens: Tokens) -> None:
        """Take in what was appended to the sequence; ConstraintError for what does not match."""
        first, end = self.start + self.n_taken, len(tokens)
        if first >= end:
            return
        self._settle()
        ids: list[int] = tokens.part(first, end).tolist()
        n = self._matcher.try_consume_tokens(ids)
        self.n_taken += n
        self._changed()
        if self.logprobs is not None:  # of a token that somebody else chose nothing is known
            self.logprobs += [float("nan")] * (self.n_taken - len(self.logprobs))
        if n < len(ids):
            if self._matcher.is_error():
                raise ConstraintError(f"the constraint cannot be followed: {self._why()}")
            shown = self._tokenizer.token(ids[n])
            raise ConstraintError(f"token {ids[n]} ({shown!r}) is not allowed here{self._hint()}")

    def is_complete(self, tokens: Tokens) -> bool:
        """Whether the text matches, and nothing more can come."""
        self.take(tokens)
        if not self._matcher.is_stopped():
            return False
        if not self._matcher.is_accepting():
            raise ConstraintError(f"the constraint allows nothing more: {self._why()}")
        return True

    def is_accepting(self, tokens: Tokens) -> bool:
        """Whether the text matches as it is."""
        self.take(tokens)
        return bool(self._matcher.is_accepting())

    def forced(self, tokens: Tokens) -> list[int]:
        """Return the tokens that must come next, none where there is a choice."""
        self.take(tokens)
        if self._forced is None:
            self._settle()
            self._forced = self._matcher.compute_ff_tokens()
        return self._forced

    def take_forced(self, token: int) -> None:
        """Count a token of `forced`, which was appended to the sequence."""
        assert self._forced is not None
        rest = self._forced[1:]
        self._matcher.consume_token(token)
        self.n_taken += 1
        self.n_forced += 1
        if self.logprobs is not None:
            self.logprobs.append(0.0)
        self._changed()
        self._forced = rest or None

    def prepare(self, tokens: Tokens) -> None:
        """Compute which tokens may come next, in another thread where that takes long."""
        self.take(tokens)
        if self._is_computed or self._running is not None:
            return
        if self._seconds > WORTH_A_THREAD:
            self._running = _thread().submit(self._compute)
        else:
            self._compute()

    def mask(self, tokens: Tokens) -> NDArray[np.uint32] | None:
        """Return a bit for each token that may come next, the lowest first: uint32 [n / 32].

        None where more is to be known of the logits than that, or an error to be told.
        """
        self.prepare(tokens)
        self._settle()
        usable = self._words.any() and not self._matcher.is_error() and self.logprobs is None
        return self._words if usable else None

    def allowed(self, tokens: Tokens, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits [n_vocab] in which all tokens that must not come next are at -inf."""
        self.prepare(tokens)
        self._settle()
        if not self._words.any() or self._matcher.is_error():
            raise ConstraintError(f"the constraint allows no token: {self._why()}")
        bits = np.unpackbits(self._words.view(np.uint8), count=self._n_vocab, bitorder="little")
        return np.where(bits.view(np.bool_), logits, np.float32(-np.inf))

    def record(self, logits: NDArray[np.float32], token: int) -> None:
        """Note the probability of `token` among those whose logits are not -inf."""
        if self.logprobs is not None:
            values = logits - logits.max()
            self.logprobs.append(float(values[token]) - float(np.log(np.exp(values).sum())))

    def text(self, tokens: Tokens) -> bytes:
        """Return the text so far, without the token that ended it."""
        ids = tokens.part(self.start, len(tokens)).tolist()
        piece, ends = self._tokenizer.piece, self._tokenizer.end_ids
        return b"".join([piece(i) for i in ids if i not in ends])

    def _compute(self) -> None:
        begin = perf_counter()
        self._matcher.unsafe_compute_mask_ptr(self._words_at, self._words.nbytes)
        self._is_computed = True
        self._seconds = perf_counter() - begin

    def _settle(self) -> None:
        """Wait for the mask that is being computed."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def _changed(self) -> None:
        self._is_computed, self._forced = False, None

    def _why(self) -> str:
        reason: str = self._matcher.get_error().partition("\n")[0]
        return (reason or self._matcher.stop_reason()) + self._hint()

    def _hint(self) -> str:
        source = self.constraint.source
        return f" ({source if len(source) <= 80 else f'{source[:77]}...'})"


def _thread() -> ThreadPoolExecutor:
    """Return the thread that computes masks while a step runs, of this process."""
    pid = os.getpid()
    if pid not in _THREADS:
        _THREADS.clear()
        _THREADS[pid] = ThreadPoolExecutor(1, thread_name_prefix="llmpy-mask")
    return _THREADS[pid]
