"""Sequences of tokens, and the one loop that runs a model's plan for them."""

from llmpy.engine.engine import Engine
from llmpy.engine.prefix import PrefixStats
from llmpy.engine.scheduling import Slice, Waiting, plan_step
from llmpy.engine.sequence import Limits, Sequence
from llmpy.engine.shifting import Turn, Turns
from llmpy.engine.work import Work

__all__ = [
    "Engine",
    "Limits",
    "PrefixStats",
    "Sequence",
    "Slice",
    "Turn",
    "Turns",
    "Waiting",
    "Work",
    "plan_step",
]
