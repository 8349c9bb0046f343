"""The generations of one request, from the prompt to the last piece; they end when it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from llmpy.chat.parts import AnswerReader
from llmpy.errors import ContextFull
from llmpy.server.call import Call, Gone
from llmpy.server.generation import Generation, Inbox, Prompt
from llmpy.server.models import Loaded
from llmpy.server.state import State
from llmpy.session import Piece

__all__ = ["Asker", "Run", "running"]


class Asker(Protocol):
    """The receiver of texts: a call, or whatever else may end before they do."""

    notes: dict[str, Any]
    gone: bool

    def watched(self, on_gone: Callable[[], object]) -> AbstractAsyncContextManager[None]:
        """Call a function when nobody waits any more, as long as this is open."""


class Run:
    """Texts that are generated for one request."""

    def __init__(
        self, call: Asker, state: State, loaded: Loaded, generations: list[Generation], inbox: Inbox
    ) -> None:
        self.generations = generations
        self.loaded = loaded
        self.inbox = inbox
        self._call = call
        self._state = state

    @property
    def stage(self) -> str:
        """Return the stage of the first text, as long as it has not begun."""
        return self.loaded.decoder.stage(self.generations[0])

    async def pieces(
        self, sink: Callable[[Generation, list[Piece]], bool] | None = None
    ) -> AsyncIterator[list[tuple[Generation, list[Piece]]]]:
        """Yield the new parts of the texts until all have ended; raise Gone where the client has.

        An empty list comes where a stream was silent for a second. What `sink` takes, which must be
        no end, does not come.
        """
        self.inbox.sink = sink
        n_open = len(self.generations)
        while n_open:
            found = await self.inbox.get()
            if self._call.gone:
                raise Gone
            n_open -= sum(pieces[-1].kind == "end" for _, pieces in found)
            yield found
        self._note()

    async def finished(self) -> list[list[Piece]]:
        """The pieces of each text, once all have ended."""
        texts: list[list[Piece]] = [[] for _ in self.generations]
        async for found in self.pieces():
            for generation, pieces in found:
                texts[generation.index] += pieces
        return texts

    @property
    def n_prompt(self) -> int:
        """Tokens of all prompts; one from which several texts go on counts once."""
        return sum(g.n_prompt for g in self.generations if not g.is_fork)

    @property
    def n_generated(self) -> int:
        """Tokens of all texts so far."""
        return sum(g.n_generated for g in self.generations)

    def _note(self) -> None:
        first = self.generations[0]
        if first.first:
            seconds = first.first - first.submitted
            self._state.metrics.first_token.add(seconds)
            self._call.notes["first_ms"] = round(seconds * 1000, 1)
        self._call.notes |= {"n_prompt": self.n_prompt, "n_generated": self.n_generated}


@asynccontextmanager
async def running(
    call: Asker,
    state: State,
    loaded: Loaded,
    prompts: Sequence[Prompt],
    *,
    n: int = 1,
    reader: Callable[[], AnswerReader] | None = None,
    streams: bool = False,
) -> AsyncIterator[Run]:
    """Generate `n` texts from each prompt, with the seeds that follow the prompt's own.

    They are cancelled when this is left, or when the client hangs up. `reader` tells thinking from
    the answer. `streams`: the run is woken where it was silent. ContextFull where a prompt does not
    fit, ApiError 429 where too much waits.
    """
    call.notes["model"] = loaded.name
    inbox = Inbox()
    firsts, generations = [], list[Generation]()
    for prompt in prompts:
        if len(prompt.ids) >= loaded.model.n_ctx:
            raise ContextFull(loaded.model.n_ctx, len(prompt.ids))
        own: list[Generation] = []
        for i in range(n):
            seed = None if prompt.seed is None else (prompt.seed + i) % 2**64
            one = Generation(
                prompt._replace(seed=seed),
                inbox,
                index=len(generations) + i,
                reader=None if reader is None else reader(),
            )
            one.is_fork = i > 0
            own.append(one)
        own[0].forks = own[1:]
        firsts.append(own[0])
        generations += own
    loaded.decoder.submit(firsts)

    def cancel() -> None:
        loaded.decoder.cancel(generations)
        inbox.wake()

    if streams and isinstance(call, Call):
        state.streams[call] = inbox
    try:
        async with call.watched(cancel):
            yield Run(call, state, loaded, generations, inbox)
    finally:
        if isinstance(call, Call):
            state.streams.pop(call, None)
        loaded.decoder.cancel(generations)
