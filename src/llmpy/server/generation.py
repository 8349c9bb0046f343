"""One text that is generated for a request, and the inbox in which the request reads it.

A `Generation` belongs to the thread of a `Decoder`, its `Inbox` to the event loop; what goes from
one to the other are lists of pieces.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from llmpy.chat.parts import piece_of
from llmpy.session import FinishReason, Piece
from llmpy.session.stop import StopStrings
from llmpy.session.token_options import PLAIN, Generated, TokenOptions

if TYPE_CHECKING:
    from llmpy.chat.parts import AnswerReader, Part
    from llmpy.constraints import ConstraintState
    from llmpy.engine import Work
    from llmpy.model import Model
    from llmpy.sampling import Chain
    from llmpy.session import Session
    from llmpy.session.transcript import Transcript

__all__ = ["Generation", "Inbox", "Prompt"]

N_CONTEXT = 16  # tokens before a text that its decoder must know: more than a character has bytes


class Prompt(NamedTuple):
    """The prompt and the settings of a request, common to all APIs.

    `max_tokens` None: until the text ends or the context is full. `logprobs`: how many of the
    likeliest tokens to report with each, None for no log-probabilities. `constraint`: what the
    answer must match, once thinking has ended; each text takes a copy of it.
    """

    ids: list[int]
    sampler: Chain
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    constraint: ConstraintState | None = None


class Inbox:
    """The queue from which the event loop gets the pieces of all generations of a request.

    `sink` may take pieces at once, where `get` waits; it returns whether it has taken them. Waking
    who waits costs more than what is done with the piece of a token.
    """

    def __init__(self) -> None:
        self.sink: Callable[[Generation, list[Piece]], bool] | None = None
        self._items = deque[tuple[Generation, list[Piece] | Exception]]()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, generation: Generation, pieces: list[Piece] | Exception) -> None:
        """Give the pieces of a generation to the sink, or add them and wake who waits for it."""
        idle = self._waiter is not None and not self._items
        if idle and self.sink is not None and not isinstance(pieces, Exception):
            try:
                if self.sink(generation, pieces):
                    return
            except Exception as error:
                pieces = error
        self._items.append((generation, pieces))
        self.wake()

    def wake(self) -> None:
        """Let `get` return."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def get(self) -> list[tuple[Generation, list[Piece]]]:
        """Wait for the next pieces: of several steps, where nobody has read them.

        Empty where `wake` was called without any. Raises what a generation has failed with.
        """
        if not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        found: list[tuple[Generation, list[Piece]]] = []
        while self._items:
            generation, pieces = self._items.popleft()
            if isinstance(pieces, Exception):
                raise pieces
            found.append((generation, pieces))
        return found


class Generation:
    """A text from a prompt on: number `index` of its request.

    `n_prompt`, `n_reused` and `n_generated` count tokens; that which ends the text is not counted.
    `forks` are generations from the same prompt, which begin once it is read, with its KV cache.
    """

    def __init__(
        self, prompt: Prompt, inbox: Inbox, *, index: int = 0, reader: AnswerReader | None = None
    ) -> None:
        self.prompt = prompt
        self.inbox = inbox
        self.index = index
        self.forks: list[Generation] = []
        self.is_fork = False
        self.cancelled = False
        self.reason: FinishReason | None = None
        self.n_prompt = len(prompt.ids)
        self.n_reused = 0
        self.n_generated = 0
        self.n_thinking = 0  # of those
        self.submitted = time.perf_counter()
        self.started = self.first = self.ended = 0.0
        self.session: Session | None = None
        self._transcript: Transcript
        self._n_ctx = 0
        self.work: Work | None = None
        self.options = TokenOptions(prompt.logprobs)  # of each token
        self._reader = reader
        self._constraint: ConstraintState | None = None  # that has not begun
        self._stops = StopStrings(prompt.stop)

    # In the thread that decodes

    def begin(self, model: Model) -> None:
        """Make the session; ContextFull where the prompt does not fit."""
        prompt = self.prompt
        session = model.session(sampler=prompt.sampler, seed=prompt.seed)
        session.transcript.make_room(len(prompt.ids) + 1)
        session.transcript.append(prompt.ids, prefill=False)
        self._begin(session)

    def begin_fork(self, session: Session) -> None:
        """Begin with the past of another session, which has read the prompt."""
        self._begin(session.fork(sampler=self.prompt.sampler, seed=self.prompt.seed))

    def _begin(self, session: Session) -> None:
        self.session = session
        self.started = time.perf_counter()
        self._transcript = transcript = session.transcript
        self._n_ctx = session.n_ctx
        transcript.decoder = session.tokenizer.decoder(start=self.n_prompt <= N_CONTEXT)
        for token in self.prompt.ids[-N_CONTEXT:]:
            transcript.decoder(token)
        if self.prompt.constraint is not None:
            transcript.sequence.constraint = None  # of what this was forked from
            self._constraint = self.prompt.constraint.fork()
            self._constrain()

    def _constrain(self) -> None:
        """Let the constraint begin where the answer does."""
        if self._constraint is not None and (self._reader is None or self._reader.answers):
            assert self.session is not None
            self.session.transcript.activate(self._constraint)
            self._constraint = None

    @property
    def stop_string(self) -> str | None:
        """The stop string that ended the text."""
        return self._stops.found

    @property
    def n_read(self) -> int:
        """The number of tokens of the prompt that are in the KV cache."""
        return 0 if self.session is None else min(self.session.seen, self.n_prompt)

    def over(self) -> FinishReason | None:
        """Why no token more can be generated, or None."""
        transcript = self._transcript
        if transcript.sequence.constraint is not None and transcript.is_complete:
            return "end"
        most = self.prompt.max_tokens
        if most is not None and self.n_generated >= most:
            return "length"
        return "context" if transcript.sequence.tokens.length >= self._n_ctx else None

    def take(self, work: Work) -> list[Piece]:
        """The pieces that the token of a step completes; the last one ends with a reason."""
        return self._taken(self._transcript.result(work, self.session, self.options))

    def take_forced(self) -> list[Piece]:
        """The pieces of the next token where only one is possible; empty where there is a choice.

        It need not be computed.
        """
        transcript = self._transcript
        if transcript.sequence.constraint is None or self.options != PLAIN:
            return []
        token = transcript.forced()
        return [] if token is None else self._taken(Generated(token, transcript.add(token)))

    def _taken(self, generated: Generated) -> list[Piece]:
        token, text, found, _ = generated
        if not self.first:
            self.first = time.perf_counter()
        if token in self._transcript.tokenizer.end_ids:
            return self.end("end")
        self.n_generated += 1
        stops = self._stops
        if self._reader is None and not stops.strings:  # as most: without detours
            pieces = [Piece(text, token, "generated", found)]
        else:
            pieces = self._shown(token, text)
            last = pieces[-1]
            self.n_thinking += last.kind == "thinking"
            pieces[-1] = last._replace(token=token, logprobs=found)
            if stops.found:
                return [*pieces, *self.end("stop")]
        if self._constraint is not None:
            self._constrain()
        if (reason := self.over()) is not None:
            return [*pieces, *self.end(reason)]
        return pieces

    def end(self, reason: FinishReason) -> list[Piece]:
        """The pieces that were held back, and the one that ends the text."""
        self.reason, self.ended = reason, time.perf_counter()
        pieces: list[Piece] = []
        if reason != "stop" and self.session is not None:
            text = self.session.transcript.decoder.flush()
            if self._reader is None:
                pieces += self._plain(text)
            else:
                pieces += self._parts([*self._reader.add(text), *self._reader.end()])
            if not self._stops.found:
                pieces += [Piece(self._stops.rest(), None, "generated")]
        return [
            *(p for p in pieces if p.text or p.tool_call),
            Piece("", None, "end", finish_reason=reason),
        ]

    def close(self) -> None:
        """Give the session's memory back."""
        if self.session is not None:
            self.session.close()

    def _shown(self, token: int, text: str) -> list[Piece]:
        """The text of a token as parts of thinking and answer; one of them, at least."""
        reader = self._reader
        if reader is None:
            return self._plain(text)
        assert self.session is not None
        tokenizer = self.session.tokenizer
        name = tokenizer.token(token) if tokenizer.is_control(token) else ""
        return self._parts(reader.add(text, name) or [(reader.kind, "")])

    def _plain(self, text: str) -> list[Piece]:
        return [Piece(self._stops.add(text), None, "generated")]

    def _parts(self, parts: Iterable[Part]) -> list[Piece]:
        return [piece_of(part, self._stops) for part in parts]
