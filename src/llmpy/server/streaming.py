"""An answer sent piece by piece, in whatever form an API has for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmpy.server.call import EVENTS, Call
from llmpy.server.errors import ApiError, as_api_error
from llmpy.server.generation import Generation
from llmpy.server.running import Run
from llmpy.session import Piece

__all__ = ["comment", "streamed"]


def comment(stage: str) -> bytes:
    """A line of an event stream that clients pass over: a sign of life."""
    return f": {stage}\n\n".encode()


async def streamed(
    call: Call,
    run: Run,
    *,
    first: bytes,
    part: Callable[[Generation, Sequence[Piece]], bytes],
    last: Callable[[], bytes],
    failed: Callable[[ApiError], bytes],
    silent: Callable[[str], bytes] = comment,
    kind: str = EVENTS,
) -> None:
    """Send `first` at once, a `part` for what each text gains, and `last` once all have ended.

    `silent` makes a sign of life of what the run waits for; `failed` tells of an error.
    """
    await call.begin(kind)
    if first:
        await call.write(first)

    def at_once(generation: Generation, pieces: list[Piece]) -> bool:
        if pieces[-1].kind == "end" or not call.takes:
            return False
        if data := part(generation, pieces):
            call.write_now(data)
        return True

    try:
        async for found in run.pieces(at_once):
            if not found:
                if data := silent(run.stage):
                    await call.write(data)
            elif data := b"".join(part(generation, pieces) for generation, pieces in found):
                await call.write(data)
    except Exception as error:
        known = as_api_error(error)
        if known is not None:
            await call.write(failed(known))
            await call.end()
        raise
    await call.write(last())
    await call.end()
