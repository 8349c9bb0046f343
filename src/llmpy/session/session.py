"""A session: the tokens of prompts and generated text, and how many of them were computed.

`tokens` are all of them, `seen` is how many are in the KV cache; a step computes `tokens[seen:]`.
Prompts, generation and rewinding are that one call.
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
from llmpy.session.events import STOP, Piece, Stats
from llmpy.session.infilling import infill_ids
from llmpy.session.mark import Mark
from llmpy.session.overflow import Overflow
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
    from llmpy.session.draft import Draft
    from llmpy.tokenizer import Tokenizer

__all__ = ["Session"]

Callback = Callable[[Piece], Any]


class Session(TypedAnswers, ProcessBound):
    """A text with its KV cache, sampler and random numbers, made by `Model.session`.

    One thread at a time may use a session; a call from another thread meanwhile raises
    SessionInUse. A stream that is open between two pieces may be abandoned at any time: the next
    call on the session ends it, as closing it does. Several sessions of one model that run at the
    same time, from several threads or by `llmpy.next_tokens`, are batched.

    `transcript` holds the session's state, for internal use.
    """

    def __init__(self, transcript: Transcript, model: Home) -> None:
        self.transcript = transcript
        self._model = model

    # Its tokens

    @property
    def tokens(self) -> list[int]:
        """Token ids of the prompts and the generated text (a copy)."""
        return self.transcript.sequence.tokens.tolist()

    @property
    def seen(self) -> int:
        """Number of tokens in the KV cache."""
        return self.transcript.sequence.n_cached

    @property
    def ended(self) -> bool:
        """True if the last token is a generated end-of-text token."""
        return self.transcript.is_ended

    @property
    def n_ctx(self) -> int:
        """Context length: the number of tokens the session can hold."""
        return self.transcript.engine.n_ctx

    @property
    def n_appended(self) -> int:
        """Number of tokens appended, including those dropped when the context was full."""
        return self.transcript.n_appended

    @property
    def makes_room(self) -> bool:
        """True if tokens are dropped when the context is full."""
        return self.transcript.overflow is not Overflow.ERROR

    @property
    def n_batch(self) -> int:
        """Largest number of tokens computed in one step."""
        return self.transcript.engine.n_batch

    @property
    def limits(self) -> Limits:
        """The `deadline` and `priority` of the session's calls; both can be set at any time."""
        return self.transcript.sequence.limits

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model."""
        return self.transcript.tokenizer

    @property
    def sampler(self) -> Chain:
        """The chain that samples the next tokens; another one may be assigned at any time."""
        return self.transcript.chain

    @sampler.setter
    def sampler(self, sampler: Chain | Sampler | str) -> None:
        self.transcript.chain = checked_chain(sampler)

    def reseed(self, seed: int | None) -> None:
        """Restart the random numbers from `seed`; None takes a seed from the operating system."""
        self.transcript.sequence.rng = Rng(seed)

    def last_tokens(self, n: int) -> NDArray[np.int32]:
        """Return the last `n` token ids, int32 (-1: all), as a view valid until the next token.

        This is for samplers, which need no copy of all tokens as `tokens` makes it.
        """
        tokens = self.transcript.sequence.tokens
        return tokens.part(0 if n < 0 else max(0, tokens.length - n), tokens.length)

    @property
    def text(self) -> str:
        """Text of all tokens, without control tokens."""
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
        """Read the prompt, generate, and pass each piece to the callback, which may return STOP.

        The options are those of `stream`. Returns the counts and times of this inference. Without a
        callback, several tokens may be generated in one native call.
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
        """Read the prompt, then generate; yield pieces of both, and an "end" piece.

        `max_tokens`: how many to generate at most (None: until the text ends or the context is
        full). `stop`: strings that end the text; they are not part of it. `logprobs`: how many of
        the most likely tokens to report with each token (0: the generated one only). `explain`:
        report with each token what the steps of the sampler changed, with the 5 most likely
        candidates before and after each step, or as many as the number says. `special`: whether
        control tokens written in the prompt are encoded as such. `bos`: whether the begin-of-text
        token comes first (None: once where a session begins with text, if the file requires it).
        `constrain`: the constraint that the generated text must match (`regex`, `grammar`,
        `choices` or `json_schema` make one; a type or a dict means JSON for it); generation ends
        once the match is complete. Leaving the loop early is safe: `tokens` then ends with the last
        piece seen; after an error, for example of a sampler, the session is as it was before the
        call. Another use of the session in between ends the stream, and then the next piece raises
        SessionInUse. Raises ContextFull if the prompt does not fit.
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
        """Run `infer` in asyncio; the callback is called in the event loop.

        Cancelling the task stops generation after the current step.
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
        """Run `stream` in asyncio: `async for piece in session.astream(...)`."""
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
        """Run `feed` in asyncio; when cancelled, it removes the prompt again."""
        return await exhausted(feeding(self.transcript, prompt, special, bos), self.cancel)

    async def anext_token(self) -> int:
        """Run `next_token` in asyncio."""
        return await in_thread(self.next_token, self.cancel)

    def feed(
        self, prompt: str | Sequence[int], *, special: bool = False, bos: bool | None = None
    ) -> int:
        """Append a part of the prompt, and prefill it before the rest is known.

        `special` and `bos` are as in `stream`. Returns the number of tokens added. Raises
        ContextFull, and adds none, if they do not fit. The last token is not computed until the
        next one is requested.
        """
        transcript = self.transcript
        transcript.begin()
        try:
            return returned(feeding(transcript, prompt, special, bos))
        finally:
            transcript.end()

    def next_token(self) -> int:
        """Compute the tokens not yet in the KV cache, sample a token, append it and return its id.

        An end-of-text token is returned like any other (`model.tokenizer.end_ids` lists them), and
        generation continues after it if another token is requested: see `ended`. Raises ContextFull
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
        """Read the prompt, then yield the logits of each next token for the caller to choose from.

        In the loop's body, `step.choose(token)` or `step.sample()` appends a token; leaving the
        loop before appends none. The loop ends after an end-of-text token, after `max_tokens`, or
        when the context is full. The options are those of `stream`.

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
        """Generate the text between a prefix and a suffix (fill in the middle), and return it.

        The prompt is appended to the session in the order prefix, suffix, middle. `callback` gets
        the pieces, as in `infer`. Raises UnsupportedModelError for a model without
        fill-in-the-middle tokens.
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
        """Cancel the call that another thread runs on the session, at the end of the current step.

        `infer` and `stream` end with the reason "cancelled", `feed` and `next_token` raise
        Cancelled; `feed` removes its prompt again. A session that no thread uses is not affected.
        """
        self.transcript.sequence.limits.cancelled = True

    def embeddings(self, first: int = 0) -> NDArray[np.float32]:
        """Return the last hidden state of each token from index `first` on: float32 [n, n_embd].

        All tokens are computed again for this, and the session does not change.
        `Model.hidden_states` yields the states in parts; `Model.embed` returns one vector for a
        text.
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
        """Write the session to a file that `Model.load_session` reads.

        The file holds tokens, KV cache, sampler and random numbers, so that the loaded session
        generates what this one would. A file that was at `path` before is replaced once the new
        file is complete. `compression`: "none", or "zstd" with the package zstandard. The session
        may be used meanwhile in another thread. Raises SessionInUse while a call of another thread
        uses it, OSError where the file cannot be written.
        """
        self.save_with(path, {}, compression=compression)

    def save_with(
        self, path: str | os.PathLike[str], more: dict[str, Any], *, compression: str
    ) -> None:
        """Write the session and `more` to a file, as `save` does; for internal use."""
        from llmpy.session.saved import save  # which takes a while to import

        save(self.transcript, self._model.saved, checks.path("path", path), compression, more)

    async def asave(self, path: str | os.PathLike[str], *, compression: str = "none") -> None:
        """Run `save` in asyncio; when cancelled, it waits until the file is written."""
        await in_thread(lambda: self.save(path, compression=compression))

    def playback(self) -> Iterator[Piece]:
        """Yield the pieces of the session's text as `stream` would: "prompt" or "generated"."""
        transcript = self.transcript
        decoder = transcript.tokenizer.decoder()
        for i, token in enumerate(self.tokens):
            kind: Literal["prompt", "generated"] = "prompt" if i < transcript.n_fed else "generated"
            yield Piece(decoder(token), token, kind)

    # Rewinding, branching, ending

    def rewind(self, n_tokens: int) -> None:
        """Truncate the session to its first `n_tokens` tokens.

        A recurrent state cannot be truncated: such a model restarts from a state in the prefix
        cache, usually that at the end of the last page of 64 tokens, and computes the rest again.
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
        """Return a mark of the current state, to which `rewind_to` can return at any time.

        The mark shares the session's KV cache pages until the session appends tokens. It does not
        include the random numbers.
        """
        transcript = self.transcript
        with transcript.engine.lock:
            transcript.begin(transcript.stream)  # which may go on
            try:
                return Mark(transcript.engine, transcript.past())
            finally:
                transcript.end()

    def rewind_to(self, mark: Mark) -> None:
        """Rewind to a mark of this session, or of any other session of the same model.

        Nothing of the mark's text is computed again, whatever was appended, rewound or edited
        since, for recurrent models too. A mark can be used any number of times. Raises ValueError
        for a mark of another model, SessionClosed for one that is closed.
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
        """Replace `tokens[at:end]` (`end` None: to the last token) by the tokens of `text`.

        The tokens before the first that differs stay in the KV cache; the others, including those
        after `end`, are computed, and their number is returned. An edit that fails, is cancelled or
        is interrupted changes nothing. Raises ContextFull and ValueError before anything changes.
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
        """Run `edit` in asyncio; when cancelled, it changes nothing."""
        return await exhausted(editing(self.transcript, at, text, end, special), self.cancel)

    def draft(self, *, special: bool = False, bos: bool | None = None) -> Draft:
        """Return a draft: a prompt that is prefilled while it is being typed.

        Call `draft.update(text)` after each change, then `draft.commit()`, which is `stream(text)`
        with most of the text in the KV cache already. `special` and `bos` are as in `stream`.
        """
        from llmpy.session.draft import Draft

        return Draft(self, special, bos)

    def fork(
        self, *, sampler: Chain | Sampler | str | None = None, seed: int | None = None
    ) -> Session:
        """Return a second session with the same tokens, which shares KV cache pages with this one.

        It has the same sampler and the same random numbers, and so generates the same text, unless
        a `sampler` or a `seed` is given. Pages are shared until one of the sessions writes to them.
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
        """Release the session's memory; further use raises SessionClosed."""
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
