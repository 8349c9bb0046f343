"""A conversation with a model: everything said by either side, and how much of it was computed.

`tokens` is all that was said, `seen` how many of them are in the KV cache; a step computes
`tokens[seen:]`. Prompts, generation and going back are that one call.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmpy import checks
from llmpy.engine import Limits
from llmpy.process import ProcessBound
from llmpy.sampling import Chain, Rng, checked_chain
from llmpy.session.asynchronous import exhausted, in_thread, returned, stepped
from llmpy.session.banned import next_allowed
from llmpy.session.described import Home
from llmpy.session.draft import Draft
from llmpy.session.events import STOP, Piece, Stats
from llmpy.session.infilling import infill_ids
from llmpy.session.mark import Mark
from llmpy.session.overflow import Overflow
from llmpy.session.saved import save
from llmpy.session.steps import Step, steps
from llmpy.session.stop import StopStrings
from llmpy.session.stream import editing, feeding, pieces
from llmpy.session.tally import Tally
from llmpy.session.transcript import Transcript
from llmpy.session.typed import TypedAnswers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmpy.constraints import Constrain
    from llmpy.sampling import Sampler
    from llmpy.tokenizer import Tokenizer

__all__ = ["Session"]

Callback = Callable[[Piece], Any]


class Session(TypedAnswers, ProcessBound):
    """Made by `Model.session`. Holds what was said, its KV cache, a sampler and a random stream.

    One thread at a time may use it: while one does, a call from another raises SessionInUse. A
    stream that is open between two pieces may be left at any time: what is done with the session
    next ends it, as closing it does. What several sessions of one model are asked for at the same
    time, from several threads or by `llmpy.next_tokens`, is computed in one batch.

    `transcript` is what is behind it, for the library itself.
    """

    def __init__(self, transcript: Transcript, model: Home) -> None:
        self.transcript = transcript
        self._model = model

    # What was said

    @property
    def tokens(self) -> list[int]:
        """Everything said by either side, as token ids (a copy)."""
        return self.transcript.sequence.tokens.tolist()

    @property
    def seen(self) -> int:
        """How many of the tokens are in the KV cache."""
        return self.transcript.sequence.n_cached

    @property
    def ended(self) -> bool:
        """Whether the model has ended its text: the last token is a generated end-of-text token."""
        return self.transcript.is_ended

    @property
    def n_ctx(self) -> int:
        """How many tokens the session can hold."""
        return self.transcript.engine.n_ctx

    @property
    def n_said(self) -> int:
        """How many tokens were said, with those that were left out where the context was full."""
        return self.transcript.n_said

    @property
    def makes_room(self) -> bool:
        """Whether tokens are left out where the context is full."""
        return self.transcript.overflow is not Overflow.ERROR

    @property
    def n_batch(self) -> int:
        """How many tokens are computed in one step, at most."""
        return self.transcript.engine.n_batch

    @property
    def limits(self) -> Limits:
        """`deadline` and `priority` of the session's calls; each may be assigned at any time."""
        return self.transcript.sequence.limits

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model."""
        return self.transcript.tokenizer

    @property
    def sampler(self) -> Chain:
        """The chain that draws the next tokens; assign another one at any time."""
        return self.transcript.chain

    @sampler.setter
    def sampler(self, sampler: Chain | Sampler | str) -> None:
        self.transcript.chain = checked_chain(sampler)

    def reseed(self, seed: int | None) -> None:
        """Begin the random numbers of `seed`, or of one from the operating system for None."""
        self.transcript.sequence.rng = Rng(seed)

    def last_tokens(self, n: int) -> NDArray[np.int32]:
        """Return the last `n` token ids, int32 (-1: all), as a view that lasts until the next one.

        For samplers: `tokens` is a copy of all of them.
        """
        tokens = self.transcript.sequence.tokens
        return tokens.part(0 if n < 0 else max(0, tokens.length - n), tokens.length)

    @property
    def text(self) -> str:
        """Everything said, as text, without control tokens."""
        return self.tokenizer.decode(self.tokens)

    def __len__(self) -> int:
        return len(self.transcript.sequence.tokens)

    # The three loops, from the outside in

    def infer(
        self,
        prompt: str | Sequence[int] = "",
        callback: Callback | None = None,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        explain: bool | int = False,
        special: bool = False,
        bos: bool | None = None,
        constrain: Constrain | None = None,
    ) -> Stats:
        """Read the prompt, generate, and give each piece to the callback, which may return STOP.

        The options are those of `stream`. Returns the counts and times of this inference. Without a
        callback, several tokens may be generated in one go.
        """
        checks.function("callback", callback)
        transcript = self.transcript
        transcript.begin()
        try:
            tally = Tally(transcript)
            events = pieces(
                transcript,
                self,
                prompt,
                observed=callback is not None,
                max_tokens=max_tokens,
                stop=stop,
                logprobs=logprobs,
                explain=explain,
                special=special,
                bos=bos,
                constrain=constrain,
            )
            with closing(events):
                for piece in events:
                    tally.add(piece)
                    if callback is not None and callback(piece) is STOP:
                        break
            return tally.stats()
        finally:
            transcript.end()

    def stream(
        self,
        prompt: str | Sequence[int] = "",
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        explain: bool | int = False,
        special: bool = False,
        bos: bool | None = None,
        constrain: Constrain | None = None,
    ) -> Generator[Piece]:
        """Read the prompt, then generate: pieces of the prompt, generated pieces, one "end".

        `max_tokens`: how many to generate at most (None: until the text ends or the context is
        full). `stop`: strings that end the text; they are not shown. `logprobs`: how many of the
        likeliest tokens to report with each (0: the chosen one only). `explain`: report with each
        what the steps of the sampler changed, with the 5 likeliest candidates around each step, or
        as many as the number says. `special`: whether control tokens written in the prompt are
        taken as such. `bos`: whether the begin-of-text token comes first (None: once where a
        session begins with text, if the file wants it). `constrain`: what the generated text must
        match (`regex`, `grammar`, `choices` or `json_schema` make one; a type or a dict means JSON
        for it); it ends by itself once it is whole. Leaving the loop early is safe: `tokens`
        then ends with the last piece seen; after an error, of a sampler say, the session is as it
        was before the call. Using the session for something else in between is leaving it, and then
        the next piece raises SessionInUse. Raises
        ContextFull if the prompt does not fit.
        """
        return pieces(
            self.transcript,
            self,
            prompt,
            observed=True,
            max_tokens=max_tokens,
            stop=stop,
            logprobs=logprobs,
            explain=explain,
            special=special,
            bos=bos,
            constrain=constrain,
        )

    async def ainfer(
        self,
        prompt: str | Sequence[int] = "",
        callback: Callback | None = None,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        explain: bool | int = False,
        special: bool = False,
        bos: bool | None = None,
        constrain: Constrain | None = None,
    ) -> Stats:
        """`infer` for asyncio; the callback is called in the event loop.

        Cancelling the task stops after the step that runs.
        """
        checks.function("callback", callback)
        tally = Tally(self.transcript)
        events = self.astream(
            prompt,
            max_tokens=max_tokens,
            stop=stop,
            logprobs=logprobs,
            explain=explain,
            special=special,
            bos=bos,
            constrain=constrain,
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
        explain: bool | int = False,
        special: bool = False,
        bos: bool | None = None,
        constrain: Constrain | None = None,
    ) -> AsyncGenerator[Piece]:
        """`stream` for asyncio: `async for piece in session.astream(...)`."""
        return stepped(
            self.stream(
                prompt,
                max_tokens=max_tokens,
                stop=stop,
                logprobs=logprobs,
                explain=explain,
                special=special,
                bos=bos,
                constrain=constrain,
            ),
            self.cancel,
        )

    async def afeed(
        self, prompt: str | Sequence[int], *, special: bool = False, bos: bool | None = None
    ) -> int:
        """`feed` for asyncio; cancelled, it takes all of the prompt back."""
        return await exhausted(feeding(self.transcript, prompt, special, bos), self.cancel)

    async def anext_token(self) -> int:
        """`next_token` for asyncio."""
        return await in_thread(self.next_token, self.cancel)

    def feed(
        self, prompt: str | Sequence[int], *, special: bool = False, bos: bool | None = None
    ) -> int:
        """Say a part of the prompt now, to be read while the rest is being typed.

        `special` and `bos` are as in `stream`. Returns the number of tokens added. Raises
        ContextFull, and adds none, if they do not fit. The last token stays unread until the next
        one is asked for.
        """
        transcript = self.transcript
        transcript.begin()
        try:
            return returned(feeding(transcript, prompt, special, bos))
        finally:
            transcript.end()

    def next_token(self) -> int:
        """Compute what is not yet in the cache, sample one token, say it and return its id.

        An end-of-text token is returned like any other (`model.tokenizer.end_ids` lists them), and
        the text goes on after it if another token is asked for: see `ended`. Raises ContextFull
        when the session holds `n_ctx` tokens.
        """
        transcript = self.transcript
        transcript.begin()
        try:
            transcript.sequence.limits.cancelled = False
            return next_allowed(transcript, self, transcript.next(self)).token
        finally:
            transcript.end()

    def steps(
        self,
        prompt: str | Sequence[int] = "",
        *,
        max_tokens: int | None = None,
        special: bool = False,
        bos: bool | None = None,
    ) -> Generator[Step]:
        """Read the prompt, then give the logits of each next token, to choose it from.

        In the loop's body, `step.choose(token)` or `step.sample()` says a token; leaving the loop
        before says none. It ends after an end-of-text token, `max_tokens`, or where the context is
        full. The options are those of `stream`.

            for step in session.steps("Once upon a time", max_tokens=20):
                step.logits[forbidden] = -numpy.inf  # float32 [n_vocab], the row itself
                step.sample()
        """
        transcript = self.transcript
        return steps(transcript, self, prompt, max_tokens=max_tokens, special=special, bos=bos)

    def infill(
        self,
        prefix: str,
        suffix: str,
        callback: Callback | None = None,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
    ) -> str:
        """Return what the model writes between two texts, if it has tokens to fill in the middle.

        The texts are read after what the session holds, in the order prefix, suffix, middle.
        `callback` gets the pieces, as of `infer`. Raises UnsupportedModelError for a model without
        those tokens.
        """
        checks.function("callback", callback)
        if max_tokens is not None:
            checks.whole("max_tokens", max_tokens, 0, sys.maxsize)
        stop = StopStrings(stop).strings
        ids = infill_ids(self.tokenizer, self._model.path, prefix, suffix, begins=not len(self))
        texts = []

        def add(piece: Piece) -> Any:
            if piece.kind != "prompt":
                texts.append(piece.text)
            return callback(piece) if callback is not None else None

        self.infer(ids, add, max_tokens=max_tokens, stop=stop)
        return "".join(texts)

    def cancel(self) -> None:
        """Stop what another thread does with the session, within the step that runs.

        `infer` and `stream` end with the reason "cancelled", `feed` and `next_token` raise
        Cancelled; `feed` takes its prompt back. Without effect on a session that nobody uses.
        """
        self.transcript.sequence.limits.cancelled = True

    def embeddings(self, first: int = 0) -> NDArray[np.float32]:
        """Return the last hidden state of each token from number `first` on: float32 [n, n_embd].

        The tokens are read once more for it, from the first one, and the session stays as it is.
        `Model.hidden_states` gives them in parts; `Model.embed` gives one vector for a text.
        """
        checks.whole("first", first, 0)
        transcript = self.transcript
        transcript.begin()
        try:
            transcript.check_open()
            tokens = self.tokens
            if first > len(tokens):
                raise ValueError(f"first: expected 0 to {len(tokens)} tokens, found {first}")
            return np.concatenate(list(self._model.hidden_states(tokens, first)))
        finally:
            transcript.end()

    # Keeping it

    def save(self, path: str | os.PathLike[str], *, compression: str = "none") -> None:
        """Write the session to a file, from which `Model.load_session` goes on as if nothing

        had been between: tokens, KV cache, sampler and random numbers. What was at `path` before
        stays until the new file is whole. `compression`: "none", or "zstd" with the package
        zstandard. The session may go on meanwhile in another thread. Raises SessionInUse while a
        call of another thread uses it, OSError where the file cannot be written.
        """
        self.save_with(path, {}, compression=compression)

    def save_with(
        self, path: str | os.PathLike[str], more: dict[str, Any], *, compression: str
    ) -> None:
        """`save`, with `more` in the file; for the library itself."""
        save(self.transcript, self._model.saved, checks.path("path", path), compression, more)

    async def asave(self, path: str | os.PathLike[str], *, compression: str = "none") -> None:
        """`save` for asyncio; cancelled, it waits until the file is written."""
        await in_thread(lambda: self.save(path, compression=compression))

    def playback(self) -> Iterator[Piece]:
        """Yield the pieces of what was said, as a stream would have: "prompt" or "generated"."""
        transcript = self.transcript
        decoder = transcript.tokenizer.decoder()
        for i, token in enumerate(self.tokens):
            kind: Literal["prompt", "generated"] = "prompt" if i < transcript.n_fed else "generated"
            yield Piece(decoder(token), token, kind)

    # Going back, branching, ending

    def rewind(self, n_tokens: int) -> None:
        """Forget everything after the first `n_tokens` tokens.

        A recurrent state cannot be cut: such a model goes on from one that the prefix cache has,
        mostly that at the end of the last page of 64 tokens, and computes the rest again.
        """
        checks.whole("n_tokens", n_tokens, 0)
        transcript = self.transcript
        transcript.begin()
        try:
            if n_tokens > len(self):
                raise ValueError(f"rewind: expected 0 to {len(self)} tokens, found {n_tokens}")
            transcript.rewind(n_tokens)
        finally:
            transcript.end()

    def mark(self) -> Mark:
        """Return the present state, to which `rewind_to` goes back at any time, from any other.

        Its memory is shared with the session until that goes on. Random numbers are no part of it.
        """
        transcript = self.transcript
        with transcript.engine.lock:
            transcript.begin(transcript.stream)  # which may go on
            try:
                return Mark(transcript.engine, transcript.past())
            finally:
                transcript.end()

    def rewind_to(self, mark: Mark) -> None:
        """Go back to a mark of this session, or of any other of the same model.

        Whatever was said, rewound or edited since, nothing of the mark's text is read again, also
        by recurrent models. A mark can be used any number of times. Raises ValueError for a mark
        of another model, SessionClosed for one that is closed.
        """
        if not isinstance(mark, Mark):
            raise checks.wrong_type("mark", "what Session.mark returned", mark)
        transcript = self.transcript
        transcript.begin()
        try:
            transcript.go_back(mark.past_of(transcript.engine))
        finally:
            transcript.end()

    def edit(
        self,
        at: int,
        text: str | Sequence[int],
        *,
        end: int | None = None,
        special: bool = False,
    ) -> int:
        """Replace the tokens from number `at` up to `end` (None: to the last) by those of `text`.

        The tokens before the first that differs stay in the cache; the others, also those after
        `end`, are computed, and their number is returned. An edit that fails, is cancelled or
        interrupted changes nothing. Raises ContextFull and ValueError before anything changes.
        """
        transcript = self.transcript
        transcript.begin()
        try:
            return returned(editing(transcript, at, text, end, special))
        finally:
            transcript.end()

    async def aedit(
        self,
        at: int,
        text: str | Sequence[int],
        *,
        end: int | None = None,
        special: bool = False,
    ) -> int:
        """`edit` for asyncio; cancelled, it changes nothing."""
        return await exhausted(editing(self.transcript, at, text, end, special), self.cancel)

    def draft(self, *, special: bool = False, bos: bool | None = None) -> Draft:
        """Begin a prompt that is read while it is being typed.

        `draft.update(text)` with each change, then `draft.commit()`, which is `stream(text)` with
        most of the text read already. `special` and `bos` are as in `stream`.
        """
        return Draft(self, special, bos)

    def fork(
        self, *, sampler: Chain | Sampler | str | None = None, seed: int | None = None
    ) -> Session:
        """A second session with the same past, whose memory is shared until one of them goes on.

        It goes on with the same sampler and the same random numbers, and so says the same, unless
        it is given a `sampler` or a `seed` of its own.
        """
        transcript = self.transcript
        rng = transcript.sequence.rng
        assert rng is not None
        chain = None if sampler is None else checked_chain(sampler)
        rng = Rng(rng.seed, rng.counter) if seed is None else Rng(seed)
        with transcript.engine.lock:  # forks in several threads wait for each other
            transcript.begin(transcript.stream)  # which may go on
            try:
                return Session(transcript.fork(chain, rng), self._model)
            finally:
                transcript.end()

    def close(self) -> None:
        """Let go of the session's memory; further use raises SessionClosed."""
        self.transcript.engine.release(self.transcript.sequence)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<llmpy.Session: {len(self)} of {self.n_ctx} tokens>"

    def _how_to_copy(self) -> str:
        return (
            "fork() makes a second session here; another process loads the model itself "
            f"(llmpy.load({str(self._model.path)!r})) and feeds a session of it these `tokens`"
        )
