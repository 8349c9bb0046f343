"""Events of a session while it infers: pieces of text as they come, and the sums at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from llmpy.sampling import Stage

__all__ = ["STOP", "FinishReason", "Logprobs", "Piece", "Stats", "Stop", "ToolCall"]

FinishReason = Literal["end", "stop", "length", "context", "callback", "cancelled"]


class Stop:
    """The type of `STOP`, which a callback returns to stop inference."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "llmpy.STOP"

    def __reduce__(self) -> str:
        """The name under which copies and pickles find the one object there is."""
        return "STOP"


STOP = Stop()


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Natural logarithms of probabilities under the model itself, before any sampler.

    `chosen` is that of the generated token; `top` has the most likely (id, logprob), best first.
    """

    chosen: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call by a model; `arguments` has the JSON arguments by name."""

    id: str
    name: str
    arguments: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the call as an entry of "tool_calls" of a message."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


class Piece(NamedTuple):  # made for every token, in a third of a frozen dataclass's time
    """One event of a stream.

    `text` is the text that can be shown now: it may be empty while a character or a possible stop
    string is incomplete, and belong to several tokens once it is complete. `token` is the token id
    of the event. `kind` is "prompt", "thinking" (of chats only), "generated", "tool_call" (of chats
    with tools: `tool_call` is the call), "tool_result" (what the tool that was called returned, as
    `text`), or "end": the last event, with the text still held back, the end-of-text token if there
    was one, and `finish_reason`: "end" (the model ended its text), "stop" (a stop string came),
    "length" (`max_tokens` reached), "context" (the context is full), "cancelled" (by
    `Session.cancel` or a deadline). `stages`: with `explain`, what each step of the sampler
    changed.
    """

    text: str
    token: int | None
    kind: Literal["prompt", "thinking", "generated", "tool_call", "tool_result", "end"]
    logprobs: Logprobs | None = None
    finish_reason: FinishReason | None = None
    stages: tuple[Stage, ...] = ()
    tool_call: ToolCall | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Stats:
    """Token counts, seconds and finish reason of one inference.

    `n_prompt` tokens of the prompt were appended, and `n_reused` tokens of the conversation were in
    the session already. Of the `n_prompt` tokens, `n_cached` had been computed before: for another
    session that began with the same tokens, or for a draft.
    """

    n_prompt: int
    prompt_seconds: float
    n_generated: int
    generate_seconds: float
    finish_reason: FinishReason
    n_reused: int = 0
    n_cached: int = 0

    @property
    def prompt_rate(self) -> float:
        """Prompt tokens per second."""
        return self.n_prompt / self.prompt_seconds if self.prompt_seconds > 0 else 0.0

    @property
    def generate_rate(self) -> float:
        """Generated tokens per second."""
        return self.n_generated / self.generate_seconds if self.generate_seconds > 0 else 0.0

    def __str__(self) -> str:
        return (
            f"prompt: {self.n_prompt} tokens in {self.prompt_seconds:.3f} s "
            f"({self.prompt_rate:.1f}/s); generated: {self.n_generated} tokens in "
            f"{self.generate_seconds:.3f} s ({self.generate_rate:.1f}/s); "
            f"finished by {self.finish_reason}"
        )
