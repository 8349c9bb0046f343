"""A conversation with a model: everything said by either side, and how much of it has been read.

`tokens` is all that was said, `seen` how many of them the model has read; a step reads
`tokens[seen:]`. Prompts, generation and going back are that one call.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from llmpy import checks, ffi
from llmpy.errors import ContextFull, SessionClosed
from llmpy.process import ProcessBound
from llmpy.sampling import Chain, Rng, chain
from llmpy.session.asynchronous import exhausted, in_thread, stepped
from llmpy.session.cache import PagedState
from llmpy.session.events import STOP, FinishReason, Logprobs, Piece, Stats
from llmpy.session.history import History
from llmpy.session.overflow import ContextWarning, Overflow, shortened
from llmpy.session.scheduler import Request
from llmpy.session.stream import pieces

if TYPE_CHECKING:
    from llmpy.model import Model
    from llmpy.sampling import NativeChain, Sampler
    from llmpy.tokenizer import Decoder, Tokenizer

__all__ = ["Session", "Tally"]

Callback = Callable[[Piece], Any]


class Session(ProcessBound):
    """Made by `Model.session`. Holds what was said, its memory, a sampler and a random stream.

    One thread may use it at a time. What several sessions of one model are asked for at the same
    time, from several threads or by `llmpy.next_tokens`, is read in one batch.
    """

    def __init__(
        self,
        model: Model,
        sampler: Chain,
        rng: Rng,
        overflow: Overflow | Callable[..., Any] = Overflow.ERROR,
    ) -> None:
        self._model = model
        self._overflow = overflow
        self._n_left_out = 0  # tokens, where the context was full
        self._chain = sampler
        self._rng = rng
        self._history = History()
        self._seen = 0
        self._said_by_user = 0  # tokens up to here were fed, for the clock
        self._clock = {"prompt": 0.0, "generate": 0.0}
        self._state: PagedState | None = PagedState(model._pool, model.n_ctx)
        self._decoder = self._new_decoder()
        self._native = self._compile()

    # What was said

    @property
    def tokens(self) -> list[int]:
        """Everything said by either side, as token ids (a copy)."""
        return self._history.tolist()

    @property
    def seen(self) -> int:
        """How many of the tokens the model has read."""
        return self._seen

    @property
    def n_ctx(self) -> int:
        """How many tokens the session can hold."""
        return self._model.n_ctx

    @property
    def n_said(self) -> int:
        """How many tokens were said, with those that were left out where the context was full."""
        return len(self._history) + self._n_left_out

    @property
    def makes_room(self) -> bool:
        """Whether tokens are left out where the context is full."""
        return self._overflow is not Overflow.ERROR

    @property
    def n_batch(self) -> int:
        """How many tokens are read in one step, at most."""
        return self._model.n_batch

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model."""
        return self._model.tokenizer

    @property
    def sampler(self) -> Chain:
        """The chain that draws the next tokens; assign another one at any time."""
        return self._chain

    @sampler.setter
    def sampler(self, sampler: Chain | Sampler) -> None:
        self._chain = sampler if isinstance(sampler, Chain) else chain(sampler)
        self._native = self._compile()

    def reseed(self, seed: int | None) -> None:
        """Begin the random numbers of `seed`, or of one from the operating system for None."""
        self._rng = Rng(seed)

    @property
    def text(self) -> str:
        """Everything said, as text, without control tokens."""
        return self._model.tokenizer.decode(self.tokens)

    def __len__(self) -> int:
        return len(self._history)

    # The three loops, from the outside in

    def infer(
        self,
        prompt: str | Sequence[int] = "",
        callback: Callback | None = None,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        special: bool = False,
        bos: bool | None = None,
    ) -> Stats:
        """Read the prompt, generate, and give each piece to the callback, which may return STOP.

        The options are those of `stream`. Returns the counts and times of this inference. Without a
        callback, several tokens may be generated in one go.
        """
        checks.function("callback", callback)
        tally = Tally(self)
        events = pieces(
            self,
            prompt,
            observed=callback is not None,
            max_tokens=max_tokens,
            stop=stop,
            logprobs=logprobs,
            special=special,
            bos=bos,
        )
        with closing(events):
            for piece in events:
                tally.add(piece)
                if callback is not None and callback(piece) is STOP:
                    break
        return tally.stats()

    def stream(
        self,
        prompt: str | Sequence[int] = "",
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        special: bool = False,
        bos: bool | None = None,
    ) -> Generator[Piece]:
        """Read the prompt, then generate: pieces of the prompt, generated pieces, one "end".

        `max_tokens`: how many to generate at most (None: until the text ends or the context is
        full). `stop`: strings that end the text; they are not shown. `logprobs`: how many of the
        likeliest tokens to report with each (0: the chosen one only). `special`: whether control
        tokens written in the prompt are taken as such. `bos`: whether the begin-of-text token comes
        first (None: once where a session begins with text, if the file wants it). Leaving the loop
        early is safe: `tokens` then ends with the last piece seen. Raises ContextFull if the prompt
        does not fit.
        """
        return pieces(
            self,
            prompt,
            observed=True,
            max_tokens=max_tokens,
            stop=stop,
            logprobs=logprobs,
            special=special,
            bos=bos,
        )

    async def ainfer(
        self,
        prompt: str | Sequence[int] = "",
        callback: Callback | None = None,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        special: bool = False,
        bos: bool | None = None,
    ) -> Stats:
        """`infer` for asyncio; the callback is called in the event loop.

        Cancelling the task stops after the step that runs.
        """
        checks.function("callback", callback)
        tally = Tally(self)
        events = self.astream(
            prompt, max_tokens=max_tokens, stop=stop, logprobs=logprobs, special=special, bos=bos
        )
        async with aclosing(events):
            async for piece in events:
                tally.add(piece)
                if callback is not None and callback(piece) is STOP:
                    break
        return tally.stats()

    def astream(
        self,
        prompt: str | Sequence[int] = "",
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        special: bool = False,
        bos: bool | None = None,
    ) -> AsyncGenerator[Piece]:
        """`stream` for asyncio: `async for piece in session.astream(...)`."""
        return stepped(
            self.stream(
                prompt,
                max_tokens=max_tokens,
                stop=stop,
                logprobs=logprobs,
                special=special,
                bos=bos,
            )
        )

    async def afeed(
        self, prompt: str | Sequence[int], *, special: bool = False, bos: bool | None = None
    ) -> int:
        """`feed` for asyncio; cancelled, it takes all of the prompt back."""
        return await exhausted(self._feeding(prompt, special, bos))

    async def anext_token(self) -> int:
        """`next_token` for asyncio."""
        return await in_thread(self.next_token)

    def feed(
        self, prompt: str | Sequence[int], *, special: bool = False, bos: bool | None = None
    ) -> int:
        """Say a part of the prompt now, to be read while the rest is being typed.

        `special` and `bos` are as in `stream`. Returns the number of tokens added. Raises
        ContextFull, and adds none, if they do not fit. The last token stays unread until the next
        one is asked for.
        """
        feeding = self._feeding(prompt, special, bos)
        while True:
            try:
                next(feeding)
            except StopIteration as end:
                n: int = end.value
                return n

    def next_token(self) -> int:
        """Read what is unread, sample one token, say it and return its id.

        An end-of-text token is returned like any other (`model.tokenizer.end_ids` lists them).
        Raises ContextFull when the session holds `n_ctx` tokens.
        """
        return self._next(None)[0]

    # Going back, branching, ending

    def rewind(self, n_tokens: int) -> None:
        """Forget everything after the first `n_tokens` tokens.

        Recurrent memory cannot be cut: such a model reads the rest once more before it goes on.
        """
        checks.whole("n_tokens", n_tokens, 0)
        if n_tokens > len(self):
            raise ValueError(f"rewind: expected 0 to {len(self)} tokens, found {n_tokens}")
        with self._model._lock:
            state = self._open_state()
            self._history.cut(n_tokens)
            self._seen = state.keep(min(self._seen, n_tokens))
            self._said_by_user = min(self._said_by_user, n_tokens)
        self._decoder = self._new_decoder()

    def fork(self) -> Session:
        """A second session with the same past, whose memory is shared until one of them goes on."""
        with self._model._lock:
            state = self._open_state().fork()
        other = Session.__new__(Session)
        other.__dict__.update(self.__dict__)
        other._state = state
        other._history = self._history.copy()
        other._clock = dict(self._clock)
        other._rng = copy.copy(self._rng)
        other._decoder = other._new_decoder()
        other._native = other._compile()
        return other

    def close(self) -> None:
        """Let go of the session's memory; further use raises SessionClosed."""
        with self._model._lock:  # no step may be reading it
            self._let_go()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_state", None) is not None:
            self._let_go()  # nobody else has it, and a finalizer must not wait

    # Inside

    def _how_to_copy(self) -> str:
        return (
            "fork() makes a second session here; another process loads the model itself "
            f"(llmpy.load({str(self._model.path)!r})) and feeds a session of it these `tokens`"
        )

    def _let_go(self) -> None:
        state, self._state = self._state, None
        if state is not None:
            state.keep(0)

    def _open_state(self) -> PagedState:
        if self._state is None:
            raise SessionClosed("this session is closed; make another with model.session()")
        self._model._check_open()
        return self._state

    def _compile(self) -> NativeChain | None:
        """The chain for native code, if every step of it is built in and there is such code."""
        if not ffi.available():
            return None
        return self._chain.compile(self._model.n_vocab, self._model.tokenizer.end_ids)

    def _new_decoder(self) -> Decoder:
        """A decoder that has heard everything said so far: its next text continues it."""
        decoder = self._model.tokenizer.decoder()
        for token in self.tokens:
            decoder(token)
        return decoder

    def _encode(
        self, prompt: str | Sequence[int], special: bool, bos: bool | None = None
    ) -> list[int]:
        self._open_state()
        checks.flags(special=special, bos=bos or False)
        tokenizer = self._model.tokenizer
        first = len(self) == 0
        if isinstance(prompt, str):
            start = first or tokenizer.is_control(self._history.part(len(self) - 1, len(self))[0])
            bos = bos if bos is not None or first else False
            ids = tokenizer.encode(prompt, special=special, bos=bos, start=start)
        else:
            ids = checks.token_ids("prompt", prompt, self._model.n_vocab)
            if bos:
                ids[:0] = tokenizer.encode("", bos=True)
        if first and not ids:
            if tokenizer.bos is None or bos is False:
                raise ValueError("an empty prompt, and no token for the beginning of a text")
            ids = [tokenizer.bos]
        if len(self) < 2 and ids and (self.tokens + ids)[:2] == [tokenizer.bos] * 2:
            warnings.warn(
                "the text begins with two begin-of-text tokens, which no model was trained with: "
                "take it out of the prompt, or pass bos=False",
                RuntimeWarning,
                stacklevel=4,
            )
        return ids

    def _check_room(self, n: int) -> None:
        """That `n` tokens more can be said, or are made room for."""
        needed = len(self) + n
        if needed <= self.n_ctx:
            return
        tokens, bos = self.tokens, self._model.tokenizer.bos
        kept = shortened(tokens, needed, self.n_ctx, self._overflow, bos)
        if kept is None:
            raise ContextFull(self.n_ctx, needed)
        n = 0
        while n < len(kept) and kept[n] == tokens[n]:
            n += 1
        self.rewind(n)
        self._say(kept[n:])
        self._decoder = self._new_decoder()
        self._n_left_out += len(tokens) - len(kept)
        warnings.warn(
            f"the context of {self.n_ctx} tokens is full: {len(tokens) - len(kept)} of them were "
            "left out",
            ContextWarning,
            stacklevel=2,
        )

    def _check_next(self) -> None:
        """That one token more can be said."""
        self._open_state()
        if len(self._history) >= self._model.n_ctx:
            self._check_room(1)  # or an error

    def _feeding(
        self, prompt: str | Sequence[int], special: bool, bos: bool | None
    ) -> Generator[None, None, int]:
        """Say the prompt, a batch at a time; closed in between, all of it is taken back."""
        ids = self._encode(prompt, special, bos)
        self._check_room(len(ids))
        start = len(self)
        try:
            for chunk in self._chunks(ids):
                self._say(chunk)
                for token in chunk:
                    self._decoder(token)
                yield
        except GeneratorExit:
            self.rewind(start)
            raise
        return len(ids)

    def _chunks(self, ids: list[int]) -> Iterator[list[int]]:
        size = self._model.n_batch
        return (ids[i : i + size] for i in range(0, len(ids), size))

    def _say(self, ids: Sequence[int], *, read: bool = True) -> None:
        """Append to what was said, and read all of it but the last token."""
        self._history.append(ids)
        end = self._said_by_user = len(self)
        if read and end - self._seen > 1:
            request = Request(self, end - 1, wanted=False, native=None)
            self._model._scheduler.run((request,))
            self._finish(request)

    def _next(self, logprobs: int | None, most: int = 1) -> tuple[int, Logprobs | None, str]:
        """One token, sampled and said but not yet read; or up to `most`, and the last of them."""
        request = self._ask(logprobs)
        request.most = most
        self._model._scheduler.run((request,))
        return self._hear(request, logprobs)

    def _ask(self, logprobs: int | None = None) -> Request:
        """For all that is unread and one token; the logits themselves, where Python samples."""
        self._check_next()
        if not len(self._history):
            self._say(self._encode("", False))
        native = self._native if logprobs is None else None
        return Request(self, len(self._history), wanted=True, native=native)

    def _hear(
        self, request: Request, logprobs: int | None = None
    ) -> tuple[int, Logprobs | None, str]:
        """The token that was asked for, said, and the text that it completes."""
        self._finish(request)
        token, found = request.token, None
        if request.n_said == 1:
            return token, None, self._decoder(token)
        if request.n_said:
            tokens = self._history.part(len(self) - request.n_said, len(self)).tolist()
            return token, None, "".join(map(self._decoder, tokens))
        if logprobs is not None:
            token, chosen, top = self._chain.sample_with_logprobs(
                request.logits, self, self._rng, logprobs
            )
            found = Logprobs(chosen, tuple(top))
        elif request.native is None:
            token = self._chain.sample(request.logits, self, self._rng)
        self._history.add(token)
        return token, found, self._decoder(token)

    def _finish(self, request: Request) -> None:
        """Count the time of a request that was served, and raise its error."""
        clock = "prompt" if request.is_prompt else "generate"
        self._clock[clock] += time.perf_counter() - request.begin
        if request.error is not None:
            raise request.error


class Tally:
    """Counts and times of one inference, from its pieces."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._before = dict(session._clock)
        self._start = session.n_said
        self._n_prompt = 0
        self._reason: FinishReason = "callback"

    def add(self, piece: Piece) -> None:
        """Count a piece."""
        self._n_prompt += piece.kind == "prompt"
        if piece.finish_reason is not None:
            self._reason = piece.finish_reason

    def stats(self) -> Stats:
        """The sums so far."""
        session = self._session
        times = {name: session._clock[name] - before for name, before in self._before.items()}
        n = session.n_said - self._start - self._n_prompt
        return Stats(self._n_prompt, times["prompt"], n, times["generate"], self._reason)
