"""The graph of a model: nodes, values, operations, rotary embedding, checks and printing."""

from llmpy.graph.check import finish
from llmpy.graph.ir import Cache, Graph, Node, Value, Weights
from llmpy.graph.ops import OPS, Operation, Shape
from llmpy.graph.rope import Rope
from llmpy.graph.show import show

__all__ = [
    "OPS",
    "Cache",
    "Graph",
    "Node",
    "Operation",
    "Rope",
    "Shape",
    "Value",
    "Weights",
    "finish",
    "show",
]
