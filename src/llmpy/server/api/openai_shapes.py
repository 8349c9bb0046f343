"""Parts of answers that several of OpenAI's APIs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmpy.server.running import Run
from llmpy.session import FinishReason, Piece
from llmpy.tokenizer import Tokenizer

__all__ = ["DONE", "FINISH", "StreamOptions", "chat_logprobs", "event", "finish_of", "usage"]

DONE = b"data: [DONE]\n\n"

FINISH: dict[FinishReason | None, str] = {
    "end": "stop",
    "stop": "stop",
    "length": "length",
    "context": "length",
    "cancelled": "stop",
}


def finish_of(reason: FinishReason | None, n_calls: int) -> str:
    """Why an answer ended, in the words of that API."""
    return "tool_calls" if n_calls and reason == "end" else FINISH[reason]


class StreamOptions(msgspec.Struct):
    """Options of a stream: what it reports beside the answer."""

    include_usage: bool | None = None


def event(data: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def usage(run: Run) -> dict[str, Any]:
    """Return the numbers of tokens that a request has taken."""
    n_prompt, n_generated = run.n_prompt, run.n_generated
    cached = sum(g.n_reused for g in run.generations if not g.is_fork)
    return {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_generated,
        "total_tokens": n_prompt + n_generated,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {
            "reasoning_tokens": sum(g.n_thinking for g in run.generations)
        },
    }


def chat_logprobs(pieces: Sequence[Piece], tokenizer: Tokenizer) -> dict[str, Any]:
    """The log-probabilities of tokens, with the likeliest others."""
    content = []
    for piece in pieces:
        if piece.logprobs is not None and piece.token is not None:
            top = [_one(token, value, tokenizer) for token, value in piece.logprobs.top]
            one = _one(piece.token, piece.logprobs.chosen, tokenizer)
            content.append({**one, "top_logprobs": top})
    return {"content": content, "refusal": None}


def _one(token: int, logprob: float, tokenizer: Tokenizer) -> dict[str, Any]:
    raw = tokenizer.piece(token)
    logprob = max(logprob, -9999.0)  # JSON has no infinity
    return {"token": raw.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(raw)}
