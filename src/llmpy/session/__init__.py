"""Sessions: what was said, the memory of it, and the stream of events."""

from llmpy.session.events import STOP, Logprobs, Piece, Stats
from llmpy.session.scheduler import next_tokens
from llmpy.session.session import Session

__all__ = ["STOP", "Logprobs", "Piece", "Session", "Stats", "next_tokens"]
