"""OpenAI's /v1/completions: texts that are continued as they stand."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any

from llmpy.server.api.fields import Sampling, checked_stop, read, within
from llmpy.server.api.openai_shapes import DONE, FINISH, StreamOptions, event, usage
from llmpy.server.call import Call
from llmpy.server.errors import ApiError, openai_shape
from llmpy.server.generation import Generation, Prompt
from llmpy.server.models import Loaded
from llmpy.server.running import Run, running
from llmpy.server.state import State
from llmpy.server.streaming import streamed
from llmpy.session import Piece
from llmpy.session.infilling import infill_ids
from llmpy.tokenizer import Tokenizer

__all__ = ["IGNORED", "REFUSED", "CompletionRequest", "completions", "gap_ids", "prompts_of"]

USUAL_LENGTH = 16  # tokens, where a request says no number: OpenAI's own


class CompletionRequest(Sampling, kw_only=True):
    """The fields that are honoured; `REFUSED` and `IGNORED` have the others of that API.

    `special`: whether control tokens written in the prompt are taken as such; by default they are,
    for who calls this wrote the whole prompt.
    """

    prompt: str | list[str | int | list[int]]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    logprobs: int | None = None
    suffix: str | None = None
    special: bool | None = None


REFUSED: dict[str, str] = {}
IGNORED = {"user": "there is no list of users"}


async def completions(call: Call, state: State) -> None:
    """POST /v1/completions."""
    request = await read(call, CompletionRequest, REFUSED, IGNORED)
    _check(request)
    async with state.models.use(request.model) as loaded:
        special = request.special is not False
        if request.suffix:
            texts = [gap_ids(loaded, request.prompt, request.suffix, "prompt")]
        else:
            texts = await asyncio.to_thread(prompts_of, request.prompt, loaded, "prompt", special)
        chain, stop = request.chain(loaded), checked_stop("stop", request.stop)
        most = USUAL_LENGTH if request.max_tokens is None else request.max_tokens
        prompts = [
            Prompt(ids, chain, request.own_seed, most, stop, request.logprobs) for ids in texts
        ]
        n, streams = request.n or 1, bool(request.stream)
        async with running(call, state, loaded, prompts, n=n, streams=streams) as run:
            answer = Answer(call, request, run)
            await (answer.stream() if streams else answer.whole())


def _check(request: CompletionRequest) -> None:
    within("n", request.n, 1, 128)
    within("max_tokens", request.max_tokens, 0, 2**31)
    within("logprobs", request.logprobs, 0, 20)
    if request.best_of is not None and request.best_of != (request.n or 1):
        raise ApiError(400, "best_of: expected the number that n is", param="best_of")
    if request.echo and request.logprobs is not None:
        raise ApiError(
            400, "echo: log-probabilities of a prompt are not reported", param="logprobs"
        )


def prompts_of(
    given: str | list[str | int | list[int]], loaded: Loaded, name: str, special: bool
) -> list[list[int]]:
    """Token ids of one prompt or several, each a text or token ids."""
    model = loaded.model
    if isinstance(given, list) and given and all(isinstance(item, int) for item in given):
        listed: Sequence[Any] = [given]
    else:
        listed = given if isinstance(given, list) else [given]
    if not listed:
        raise ApiError(400, f"{name}: expected one at least, found none", param=name)
    found = []
    for i, item in enumerate(listed):
        where = name if listed is not given else f"{name}[{i}]"
        if isinstance(item, int):
            raise ApiError(400, f"{where}: expected a text, found a number", param=where)
        ids = item
        if isinstance(item, str):
            ids = model.tokenizer.encode(item, special=special, bos=None)
        if not ids and model.tokenizer.bos is not None:
            ids = [model.tokenizer.bos]
        if not ids:
            raise ApiError(400, f"{where}: expected a text, found an empty one", param=where)
        if (wrong := next((i for i in ids if not 0 <= i < model.n_vocab), None)) is not None:
            raise ApiError(
                400,
                f"{where}: expected token ids of 0 to {model.n_vocab - 1}, found {wrong}",
                param=where,
            )
        found.append(ids)
    return found


def gap_ids(loaded: Loaded, prefix: Any, suffix: str, name: str) -> list[int]:
    """Token ids of a text with a gap that is filled; ApiError for a model that fills none."""
    if not isinstance(prefix, str):
        raise ApiError(400, f"{name}: expected a text before the gap", param=name)
    model = loaded.model
    return infill_ids(model.tokenizer, model.path, prefix, suffix, begins=True)


class Answer:
    """The answer to a request, whole or event by event."""

    def __init__(self, call: Call, request: CompletionRequest, run: Run) -> None:
        self._call = call
        self._run = run
        self._request = request
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": run.loaded.name,
        }
        self._n_shown = [0] * len(run.generations)  # characters

    async def whole(self) -> None:
        """Send it once it is there."""
        texts = await self._run.finished()
        choices = [
            self._choice(generation, pieces, self._echo(generation))
            for generation, pieces in zip(self._run.generations, texts, strict=True)
        ]
        await self._call.answer({**self._head, "choices": choices, "usage": usage(self._run)})

    async def stream(self) -> None:
        """Send an event for each piece."""
        echoes = [(g, self._echo(g)) for g in self._run.generations]
        await streamed(
            self._call,
            self._run,
            first=b"".join(self._event(g, [], text) for g, text in echoes if text),
            part=self._event,
            last=self._last,
            failed=lambda error: event(openai_shape(error)),
        )

    def _last(self) -> bytes:
        options, found = self._request.stream_options, b""
        if options is not None and options.include_usage:
            found = event({**self._head, "choices": [], "usage": usage(self._run)})
        return found + DONE

    def _echo(self, generation: Generation) -> str:
        if not self._request.echo:
            return ""
        return self._tokenizer.decode(generation.prompt.ids)

    @property
    def _tokenizer(self) -> Tokenizer:
        return self._run.loaded.model.tokenizer

    def _event(self, generation: Generation, pieces: Sequence[Piece], before: str = "") -> bytes:
        choice = self._choice(generation, pieces, before)
        if not choice["text"] and choice["finish_reason"] is None and choice["logprobs"] is None:
            return b""
        return event({**self._head, "choices": [choice]})

    def _choice(
        self, generation: Generation, pieces: Sequence[Piece], before: str
    ) -> dict[str, Any]:
        """Return the new part of a text; `before`: the prompt, where it is repeated."""
        ended = bool(pieces) and pieces[-1].kind == "end"
        text = before + "".join(piece.text for piece in pieces)
        choice = {
            "index": generation.index,
            "text": text,
            "logprobs": self._logprobs(generation, pieces),
            "finish_reason": FINISH[pieces[-1].finish_reason] if ended else None,
        }
        self._n_shown[generation.index] += len(text)
        return choice

    def _logprobs(self, generation: Generation, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        if self._request.logprobs is None:
            return None
        found: dict[str, list[Any]] = {
            "tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": [],
        }  # fmt: skip
        at = self._n_shown[generation.index]
        for piece in pieces:
            if piece.logprobs is not None and piece.token is not None:
                found["tokens"].append(self._piece(piece.token))
                found["token_logprobs"].append(max(piece.logprobs.chosen, -9999.0))
                top = {self._piece(token): max(v, -9999.0) for token, v in piece.logprobs.top}
                found["top_logprobs"].append(top)
                found["text_offset"].append(at)
            at += len(piece.text)
        return found if found["tokens"] else None

    def _piece(self, token: int) -> str:
        return self._tokenizer.piece(token).decode("utf-8", "replace")
