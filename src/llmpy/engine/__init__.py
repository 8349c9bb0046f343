"""Sequences of tokens, and the one loop that runs a model's plan for them."""

from llmpy.engine.batch_steps import BatchStep, batch_steps
from llmpy.engine.engine import Engine
from llmpy.engine.prefix import PrefixStats
from llmpy.engine.scheduling import Slice, Waiting, plan_step
from llmpy.engine.sequence import Limits, Sequence
from llmpy.engine.shifting import Turn, Turns
from llmpy.engine.work import Work

__all__ = [
    "BatchStep",
    "Engine",
    "Limits",
    "PrefixStats",
    "Sequence",
    "Slice",
    "Turn",
    "Turns",
    "Waiting",
    "Work",
    "batch_steps",
    "plan_step",
]
