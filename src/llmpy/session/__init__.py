"""Sessions: what was said, the memory of it, and the stream of events."""

from llmpy.session.batched import next_tokens
from llmpy.session.completion import Completion
from llmpy.session.draft import Draft
from llmpy.session.events import STOP, FinishReason, Logprobs, Piece, Stats, ToolCall
from llmpy.session.mark import Mark
from llmpy.session.overflow import ContextWarning, Overflow
from llmpy.session.parsing import Parsed
from llmpy.session.ranking import Ranked
from llmpy.session.scoring import Score
from llmpy.session.session import Session
from llmpy.session.steps import Step

__all__ = [
    "STOP",
    "Completion",
    "ContextWarning",
    "Draft",
    "FinishReason",
    "Logprobs",
    "Mark",
    "Overflow",
    "Parsed",
    "Piece",
    "Ranked",
    "Score",
    "Session",
    "Stats",
    "Step",
    "ToolCall",
    "next_tokens",
]
