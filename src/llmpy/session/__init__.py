"""Sessions: tokens, their KV cache, and the stream of events."""

from llmpy.session.events import STOP, FinishReason, Logprobs, Piece, Stats, ToolCall
from llmpy.session.parsing import Parsed
from llmpy.session.session import Session

__all__ = [
    "STOP",
    "FinishReason",
    "Logprobs",
    "Parsed",
    "Piece",
    "Session",
    "Stats",
    "ToolCall",
]
