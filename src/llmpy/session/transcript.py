"""The text of a session and its sequence in the engine: the level between the two.

One thread at a time may be between `begin` and `end`. A stream that is open between two of its
pieces belongs to the thread that advanced it last; that thread may do something else, which ends
the stream. So a stream that is closed late removes nothing that was appended since.
"""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy import checks, ffi
from llmpy.backends.base import PAGE_TOKENS
from llmpy.engine import Work
from llmpy.errors import ContextFull, SessionInUse
from llmpy.sampling import Chain, logit_bias
from llmpy.session.asynchronous import user
from llmpy.session.banned import Banned
from llmpy.session.events import Logprobs
from llmpy.session.overflow import ContextWarning, Overflow, n_shifted, shortened
from llmpy.session.token_options import PLAIN, Generated, TokenOptions
from llmpy.tokenizer import SILENT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmpy.constraints import ConstraintState
    from llmpy.engine import Engine
    from llmpy.engine import Sequence as TokenSequence
    from llmpy.sampling import ChainState, NativeChain, Rng, Stage
    from llmpy.tokenizer import Decoder, Tokenizer

__all__ = ["OpenStream", "Past", "Transcript", "compiled_chain", "n_same"]

_new: Any = tuple.__new__


class OpenStream:
    """A stream that has begun and not ended, and what stays of the session if it ends now.

    That is the state `before`, or the first `n_shown` tokens, or else everything.
    `constraint_before`: where the stream has a constraint of its own, what governs the session
    then.
    """

    __slots__ = ("before", "constraint_before", "n_shown", "thread")

    def __init__(self, n_shown: int | None, before: Past | None = None) -> None:
        self.n_shown = n_shown
        self.before = before
        self.thread = user()
        self.constraint_before: tuple[ConstraintState | None] | None = None


class Past(NamedTuple):
    """A state of a transcript: a sequence of its own, whose memory is shared until one goes on."""

    sequence: TokenSequence
    n_fed: int
    n_left_out: int
    chain: Chain | None  # and what it remembered
    chain_state: ChainState | None


class Transcript:
    """A sequence with a tokenizer: text goes in, tokens and text come out.

    `n_fed`: the tokens before it were fed, not generated, unless they come before others that were.
    `n_found`: tokens of prompts that had been computed before, in all. `clock`: seconds spent on
    prompts and on generating. `ahead`: a sequence that may have prefilled some of the next tokens,
    until they are appended.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        sequence: TokenSequence,
        overflow: Overflow | Callable[..., Any] = Overflow.ERROR,
        chain: Chain | None = None,
    ) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self.sequence = sequence
        self.overflow = overflow
        self.n_left_out = 0  # tokens, where the context was full
        self.n_keep = 0  # tokens at the beginning that stay then
        self.n_fed = 0
        self.n_found = 0
        self.clock = {"prompt": 0.0, "generate": 0.0}
        self.stream: OpenStream | None = None
        self.ahead: TokenSequence | None = None
        self._use = threading.RLock()  # a callback may use the session that calls it
        self.end = self._use.release
        self._asked = 0.0  # when the engine was asked last, and for what
        self._asked_for = "prompt"
        self.decoder = self._new_decoder()
        self._chain = chain  # as it was given: the sequence has it for the vocabulary
        self.banned = Banned(chain.banned if chain is not None else ())

    def fork(self, chain: Chain | None, rng: Rng) -> Transcript:
        """Return a second one with the same past, which samples with another chain if one is given.

        Recurrent state and pages are shared until one of the two goes on.
        """
        bound = self.sequence.chain if chain is None else chain.bound(self.tokenizer)
        assert bound is not None
        compiled = compiled_chain(bound, self.engine.n_outputs, self.tokenizer)
        sequence = self.engine.fork(self.sequence, bound, compiled, rng)
        given = chain or self.chain
        other = Transcript(self.engine, self.tokenizer, sequence, self.overflow, given)
        other.n_left_out, other.n_fed = self.n_left_out, self.n_fed
        other.n_keep = self.n_keep
        other.clock = dict(self.clock)
        return other

    # Who may use it

    @property
    def chain(self) -> Chain:
        """The chain that samples the next tokens; a new one is for the tokens after this."""
        assert self._chain is not None
        return self._chain

    @chain.setter
    def chain(self, chain: Chain) -> None:
        bound = chain.bound(self.tokenizer)
        compiled = compiled_chain(bound, self.engine.n_outputs, self.tokenizer)
        self.sequence.sample_with(bound, compiled)
        self._chain, self.banned = chain, Banned(chain.banned)

    def begin(self, stream: OpenStream | None = None) -> None:
        """Begin to use it, as the next step of `stream` or for something else; `end` must follow.

        SessionInUse where another thread uses it, or where `stream` has ended.
        """
        if not self._use.acquire(blocking=False):
            raise SessionInUse(
                "another thread is using this session, and one at a time may: give each thread a "
                "session of its own (model.session() or session.fork())"
            )
        if self.stream is not stream:
            self._change(stream)

    def _change(self, stream: OpenStream | None) -> None:
        """The open stream ends, for something else begins; errors leave the session unused."""
        current = self.stream
        try:
            if stream is not None:
                self.check_stream(stream)
            if current is not None:
                if current.thread != user():
                    raise SessionInUse(
                        "a stream of this session is open in another thread: close it there first"
                    )
                self.close_stream(current)
        except BaseException:
            self.end()
            raise

    def constrain(self, stream: OpenStream, state: ConstraintState) -> None:
        """Constrain what `stream` generates, until it ends; from now on, or from `activate` on."""
        stream.constraint_before = (self.sequence.constraint,)
        self.sequence.constraint = None
        if state.active:
            self.activate(state)

    def activate(self, state: ConstraintState) -> None:
        """Constrain what is generated from here on."""
        state.active = True
        state.restart(len(self.sequence))
        self.sequence.constraint = state

    @property
    def is_complete(self) -> bool:
        """Whether a constraint allows nothing more."""
        constraint, tokens = self.sequence.constraint, self.sequence.tokens
        return constraint is not None and tokens.length > 0 and constraint.is_complete(tokens)

    def check_stream(self, stream: OpenStream) -> None:
        """Raise SessionInUse where `stream` is not the open one."""
        if self.stream is not stream:
            raise SessionInUse(
                "this stream has ended, for its session was used for something else since"
            )

    def open_stream(self, n_shown: int | None, before: Past | None = None) -> OpenStream:
        """Note that a stream has begun; the caller is between `begin` and `end`."""
        self.stream = OpenStream(n_shown, before)
        return self.stream

    def close_stream(self, stream: OpenStream) -> None:
        """End a stream, and take back what it has not shown; without effect on one that ended."""
        if self.stream is not stream:
            return
        self.stream = None
        n, sequence, before = stream.n_shown, self.sequence, stream.before
        if stream.constraint_before is not None:
            (sequence.constraint,) = stream.constraint_before
        if not sequence.cache or self.engine.closed:
            return
        if before is not None:
            self.go_back(before)
        elif n is not None and n < len(sequence):
            self.rewind(n)

    # Its tokens

    @property
    def n_appended(self) -> int:
        """Number of tokens appended, including those dropped when the context was full."""
        return self.sequence.tokens.length + self.n_left_out

    @property
    def is_ended(self) -> bool:
        """Whether the last token was generated, and ends the text."""
        tokens = self.sequence.tokens
        return tokens.length > self.n_fed and tokens.item(-1) in self.tokenizer.end_ids

    def check_open(self) -> None:
        """Raise SessionClosed for a session or a model that is closed."""
        if self.sequence.cache is None or self.engine.closed:
            self.sequence.open_cache  # noqa: B018 - which says so
            self.engine.check_open()

    def encode(
        self,
        prompt: str | Sequence[int],
        special: bool,
        bos: bool | None = None,
        at: int | None = None,
    ) -> list[int]:
        """Return the ids of a prompt, as it continues the first `at` tokens (None: all)."""
        self.check_open()
        checks.flags(special=special, bos=bos or False)
        tokenizer, tokens = self.tokenizer, self.sequence.tokens
        at = len(tokens) if at is None else at
        first = at == 0
        if isinstance(prompt, str):
            start = first or tokenizer.is_control(tokens.item(at - 1))
            bos = bos if bos is not None or first else False
            ids = tokenizer.encode(prompt, special=special, bos=bos, start=start)
        else:
            ids = checks.token_ids("prompt", prompt, self.engine.n_outputs)
            if bos:
                ids[:0] = tokenizer.encode("", bos=True)
        if first and not ids:
            if tokenizer.bos is None or bos is False:
                raise ValueError("an empty prompt, and no token for the beginning of a text")
            ids = [tokenizer.bos]
        if at < 2 and ids and (tokens.part(0, at).tolist() + ids)[:2] == [tokenizer.bos] * 2:
            warnings.warn(
                "the text begins with two begin-of-text tokens, which no model was trained with: "
                "take it out of the prompt, or pass bos=False",
                RuntimeWarning,
                stacklevel=4,
            )
        return ids

    def prepare(self, prompt: str | Sequence[int], special: bool, bos: bool | None) -> list[int]:
        """Return the ids of a prompt, as a new call begins that appends them: there is room.

        The caller is between `begin` and `end`.
        """
        self.sequence.limits.cancelled = False
        ids = self.encode(prompt, special, bos)
        self.make_room(len(ids))
        return ids

    def make_room(self, n: int) -> None:
        """Leave tokens out as `overflow` says, so that `n` more fit; or raise ContextFull."""
        n_ctx = self.engine.n_ctx
        needed = len(self.sequence) + n
        if needed <= n_ctx:
            return
        if self.overflow is Overflow.SHIFT and self._shift(needed):
            return
        tokens = self.sequence.tokens.tolist()
        kept = shortened(tokens, needed, n_ctx, self.overflow, self._n_first())
        if kept is None:
            raise ContextFull(n_ctx, needed)
        same = n_same(kept, tokens)
        constraint, self.sequence.constraint = self.sequence.constraint, None
        self.rewind(same)
        self.append(kept[same:])
        if constraint is not None:
            constraint.moved(len(kept) - len(tokens))
            self.sequence.constraint = constraint
        self._left_out(len(tokens) - len(kept))

    def _shift(self, needed: int) -> bool:
        """Leave out tokens without computing those behind them again, where the engine can."""
        keep, n = self._n_first(), len(self.sequence)
        least = needed - self.engine.n_ctx
        for most in n - keep, 0:
            n_out = n_shifted(most, least, PAGE_TOKENS)
            if self.engine.shift(self.sequence, keep, n_out):
                self.n_fed -= min(max(self.n_fed - keep, 0), n_out)
                self._left_out(n_out)
                return True
        return False

    def _n_first(self) -> int:
        """The number of tokens at the beginning that stay where others are left out."""
        tokens, bos = self.sequence.tokens, self.tokenizer.bos
        begins = bos is not None and len(tokens) > 0 and tokens.item(0) == bos
        return min(max(self.n_keep, int(begins)), len(tokens))

    def _left_out(self, n: int) -> None:
        self.decoder = self._new_decoder()
        self.n_left_out += n
        warnings.warn(
            f"the context of {self.engine.n_ctx} tokens is full: {n} of them were left out",
            ContextWarning,
            stacklevel=3,
        )

    def rewind(self, n_tokens: int) -> None:
        """Keep the first `n_tokens` tokens."""
        self.engine.truncate(self.sequence, n_tokens)
        self.n_fed = min(self.n_fed, n_tokens)
        self.decoder = self._new_decoder()

    def past(self) -> Past:
        """Return the present state, to go back to."""
        sequence = self.engine.fork(self.sequence, None, None, None)
        chain, state = self.sequence.chain, self.sequence.state
        kept = state.copy() if state is not None else None
        return Past(sequence, self.n_fed, self.n_left_out, chain, kept)

    def go_back(self, past: Past) -> None:
        """Return to that state: its tokens, and nothing else."""
        sequence, tokens = self.sequence, past.sequence.tokens
        sequence.constraint = None
        n = sequence.tokens.n_common(tokens)
        self.rewind(n)
        sequence.append(tokens.part(n, len(tokens)))
        self.engine.adopt(sequence, past.sequence)
        if past.chain_state is not None and past.chain is sequence.chain:
            sequence.state = past.chain_state.copy()
        sequence.constraint = past.sequence.constraint and past.sequence.constraint.fork()
        self.n_fed, self.n_left_out = past.n_fed, past.n_left_out
        self.decoder = self._new_decoder()

    def chunks(self, ids: list[int]) -> Iterator[list[int]]:
        """Split `ids` into what is appended at once; what was computed before is the first."""
        size = self.engine.n_batch
        known = self.engine.n_known(self.sequence, ids) if len(ids) > size else 0
        at = max(self._n_ahead(ids), known)
        if at:
            yield ids[:at]
        yield from (ids[i : i + size] for i in range(at, len(ids), size))

    def _n_ahead(self, ids: list[int]) -> int:
        """Return how many of `ids`, which come next, were read ahead."""
        ahead, n = self.ahead, len(self.sequence)
        if ahead is None or ahead.tokens.n_common(self.sequence.tokens) < n:
            return 0
        return n_same(ahead.tokens.part(n, ahead.n_cached).tolist(), ids)

    def expect(self, ahead: TokenSequence | None) -> None:
        """Use what `ahead` has computed, until the next prompt is appended; None: nothing."""
        before, self.ahead = self.ahead, ahead
        if before is not None:
            self.engine.release(before)

    def append(self, ids: Sequence[int], *, prefill: bool = True, more: bool = False) -> None:
        """Append tokens, and compute all of them; without `more` to come, all but the last.

        Not `prefill`: they are computed with the next token.
        """
        sequence = self.sequence
        sequence.append(ids)
        if self.ahead is not None:
            before = sequence.n_cached
            self.engine.adopt(sequence, self.ahead)
            self.n_found += sequence.n_cached - before
        end = self.n_fed = len(sequence)
        if sequence.constraint is not None:  # it governs what is generated after this
            sequence.constraint.restart(end)
        end -= not more
        if prefill and end > sequence.n_cached:
            self._asked = time.perf_counter()
            work = Work(sequence, end, end, end)
            self.engine.run((work,))
            self.clock["prompt"] += time.perf_counter() - self._asked
            self.n_found += work.n_found
            if work.error is not None:
                raise work.error

    def next(self, viewer: Any, options: TokenOptions = PLAIN, most: int = 1) -> Generated:
        """Sample a token, append it and return it; or up to `most`, of which the last is returned.

        It is computed with the token after it. `viewer` is what samplers in Python get to see.
        """
        self.check_next()
        if options == PLAIN and (token := self.forced()) is not None:
            return Generated(token, self.add(token))
        work = self.request(options)
        work.most = most
        self.engine.run((work,))
        return self.result(work, viewer, options)

    def forced(self) -> int | None:
        """Return the next token where a constraint allows only one, which need not be computed."""
        constraint, tokens = self.sequence.constraint, self.sequence.tokens
        if constraint is None or not tokens.length or not (ids := constraint.forced(tokens)):
            return None
        constraint.take_forced(ids[0])
        return ids[0]

    def check_next(self) -> None:
        """Make sure that one token more can be appended, or raise what `next` raises."""
        sequence, engine = self.sequence, self.engine
        if sequence.cache is None or engine.closed:
            self.check_open()
        if sequence.tokens.length >= engine.n_ctx:
            self.make_room(1)

    def request(self, options: TokenOptions = PLAIN) -> Work:
        """Return the work for a token, or for its logits where Python samples; see `check_next`."""
        sequence = self.sequence
        n = sequence.tokens.length
        if not n:
            self.append(self.encode("", False))
            n = sequence.tokens.length
        self._asked_for = "prompt" if sequence.n_cached < self.n_fed else "generate"
        self._asked = time.perf_counter()
        native = sequence.native if options == PLAIN else None
        return Work(sequence, n, n - 1, n, native)

    def result(self, work: Work, viewer: Any, options: TokenOptions = PLAIN) -> Generated:
        """Return the result of `next`, once the work is served."""
        row = self.logits(work) if work.native is None else None
        if row is not None:
            return self.sample(row, viewer, options, in_place=True)
        self._check_served(work)
        token = work.token
        if work.n_generated == 1:  # made as `Generated(token, text)` is, in half the time
            generated: Generated = _new(Generated, (token, self.decoder(token), None, ()))
            return generated
        if work.n_generated:
            tokens = self.sequence.tokens
            ids = tokens.part(tokens.length - work.n_generated, tokens.length).tolist()
            return Generated(token, "".join(map(self.decoder, ids)))
        return Generated(token, self.add(token))

    def logits(self, work: Work) -> NDArray[np.float32]:
        """Return the logits [n_vocab] of the next token, once the work is served."""
        self._check_served(work)
        row: NDArray[np.float32] = work.rows[0]
        return row

    def _check_served(self, work: Work) -> None:
        self.clock[self._asked_for] += time.perf_counter() - self._asked
        self.n_found += work.n_found
        if work.error is not None:
            raise work.error

    def sample(
        self,
        row: NDArray[np.float32],
        viewer: Any,
        options: TokenOptions = PLAIN,
        *,
        in_place: bool,
    ) -> Generated:
        """Draw a token from a row of logits, and append it; `in_place`: the row may be changed."""
        sequence = self.sequence
        chain, rng, state = sequence.chain, sequence.rng, sequence.state
        assert chain is not None
        assert rng is not None
        if options.forbidden:
            forbidden = logit_bias(dict.fromkeys(options.forbidden, -math.inf))
            chain = Chain((forbidden, *chain.steps))
        if (constraint := sequence.constraint) is not None:
            return self._sample_allowed(constraint, chain, row, viewer, options)
        stages: tuple[Stage, ...] = ()
        logprobs = None
        if options.explain:
            token, stages = chain.explain(row, viewer, rng, options.explain, state)
            if options.logprobs is not None:
                top, total = chain.top(row, options.logprobs)
                logprobs = Logprobs(float(row[token]) - total, tuple(top))
        elif options.logprobs is not None:
            most = options.logprobs
            found = chain.sample_with_logprobs(row, viewer, rng, most, state, in_place=in_place)
            token, logprobs = found.token, Logprobs(found.logprob, tuple(found.top))
        else:
            token = chain.sample(row, viewer, rng, state, in_place=in_place)
        return Generated(token, self.add(token), logprobs, stages)

    def _sample_allowed(
        self,
        constraint: ConstraintState,
        chain: Chain,
        row: NDArray[np.float32],
        viewer: Any,
        options: TokenOptions,
    ) -> Generated:
        """Draw a token that a constraint allows; its log-probability is that without it."""
        sequence = self.sequence
        stages: tuple[Stage, ...] = ()
        logprobs = None
        rng, state = sequence.rng, sequence.state
        assert rng is not None
        allowed = constraint.allowed(sequence.tokens, row)
        if options.explain:
            token, stages = chain.explain(allowed, viewer, rng, options.explain, state)
        else:
            token = chain.sample(allowed, viewer, rng, state, in_place=False)
        constraint.record(allowed, token)
        if options.logprobs is not None:
            top, total = chain.top(row, options.logprobs)
            logprobs = Logprobs(float(row[token]) - total, tuple(top))
        return Generated(token, self.add(token), logprobs, stages)

    def add(self, token: int) -> str:
        """Append a token that was generated; return the text that it completes."""
        sequence = self.sequence
        sequence.tokens.add(token)
        if sequence.state is not None:
            sequence.state.commit(sequence.tokens.length)
        return self.decoder(token)

    def _new_decoder(self) -> Decoder:
        """Return a decoder that has decoded the tokens so far: its next text continues theirs.

        It decodes the end only, for all that it holds is a space to come or a part of a character.
        """
        tokenizer, tokens = self.tokenizer, self.sequence.tokens
        at, n_bytes = len(tokens), 0
        while at and n_bytes < 8:
            at -= 1
            token = tokens.item(at)
            n_bytes += 0 if tokenizer.kind(token) in SILENT else len(tokenizer.piece(token))
        decoder = tokenizer.decoder(start=at == 0)
        for token in tokens.part(at, len(tokens)).tolist():
            decoder(token)
        return decoder


def n_same(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Return how many items both begin with."""
    n = min(len(first), len(second))
    return next((i for i in range(n) if first[i] != second[i]), n)


def compiled_chain(steps: Chain, n_vocab: int, tokenizer: Tokenizer) -> NativeChain | None:
    """Return the chain for native code, if every step of it is built in and there is such code."""
    if not ffi.available():
        return None
    return steps.compile(n_vocab, tokenizer.end_ids)
