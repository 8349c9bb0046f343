"""/infill: what stands between two texts, as llama.cpp's server has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmpy.server.api.fields import Sampling, checked_stop, read, within
from llmpy.server.api.openai_completions import gap_ids
from llmpy.server.api.openai_shapes import event
from llmpy.server.call import Call
from llmpy.server.errors import openai_shape
from llmpy.server.generation import Generation, Prompt
from llmpy.server.running import running
from llmpy.server.state import State
from llmpy.server.streaming import streamed
from llmpy.session import Piece

__all__ = ["InfillRequest", "infill"]

STOPS = {"end": "eos", "stop": "word"}


class InfillRequest(Sampling, kw_only=True):
    """The texts around a gap; `prompt` is what was already written into it."""

    input_prefix: str
    input_suffix: str
    prompt: str = ""
    model: str | None = None
    n_predict: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None


async def infill(call: Call, state: State) -> None:
    """POST /infill."""
    refused = {"input_extra": "other files are not read"}
    request = await read(call, InfillRequest, refused, {})
    within("n_predict", request.n_predict, -1, 2**31)
    most = None if request.n_predict == -1 else request.n_predict
    stop = checked_stop("stop", request.stop)
    async with state.models.use(request.model) as loaded:
        ids = gap_ids(loaded, request.input_prefix, request.input_suffix, "input_prefix")
        ids += loaded.model.tokenizer.encode(request.prompt, start=False)
        prompt = Prompt(ids, request.chain(loaded), request.own_seed, most, stop)
        streams = bool(request.stream)
        async with running(call, state, loaded, [prompt], streams=streams) as run:
            if not streams:
                (pieces,) = await run.finished()
                await call.answer(_content(run.generations[0], pieces))
                return
            await streamed(
                call,
                run,
                first=b"",
                part=lambda generation, pieces: event(_content(generation, pieces)),
                last=lambda: b"",
                failed=lambda error: event(openai_shape(error)),
            )


def _content(generation: Generation, pieces: Sequence[Piece]) -> dict[str, Any]:
    """Return the new part of a text, and the counts once it has ended."""
    found: dict[str, Any] = {"content": "".join(piece.text for piece in pieces), "stop": False}
    if (reason := pieces[-1].finish_reason) is not None:
        found |= {
            "stop": True,
            "stop_type": STOPS.get(reason, "limit"),
            "stopping_word": generation.stop_string or "",
            "tokens_evaluated": generation.n_prompt,
            "tokens_predicted": generation.n_generated,
        }
    return found
