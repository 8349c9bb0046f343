"""Smaller models: quantizing files, finding what matters, measuring what was lost."""

from llmpy.quantization.collect import collect_importance
from llmpy.quantization.importance import Importance, read_importance, write_importance
from llmpy.quantization.measure import (
    Divergence,
    MeasureEvent,
    Perplexity,
    divergence,
    perplexity,
)
from llmpy.quantization.work import QuantizeEvent, quantize

__all__ = [
    "Divergence",
    "Importance",
    "MeasureEvent",
    "Perplexity",
    "QuantizeEvent",
    "collect_importance",
    "divergence",
    "perplexity",
    "quantize",
    "read_importance",
    "write_importance",
]
