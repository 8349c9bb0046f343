"""The graph of a model: nodes, values, operations, rotary embedding, checks and printing."""

from llmpy.graph.check import finish
from llmpy.graph.fuse import Attention, GatedLinears, Linears, One, Step, fuse, schedule
from llmpy.graph.ir import Cache, Graph, Node, Recurrence, Value
from llmpy.graph.ops import ELEMENTWISE, EMBED, OPS, Operation
from llmpy.graph.parts import Part, cut, layer_starts, layers_text, n_layers
from llmpy.graph.rewrite import origin, rewrite
from llmpy.graph.rope import Rope
from llmpy.graph.shapes import Shape
from llmpy.graph.show import show
from llmpy.graph.states import (
    PAIRS,
    for_pairs,
    has_head,
    is_encoder,
    n_embedded,
    states,
    table_of,
)
from llmpy.graph.turns import key_rotations
from llmpy.graph.weights import Weights

__all__ = [
    "ELEMENTWISE",
    "EMBED",
    "OPS",
    "PAIRS",
    "Attention",
    "Cache",
    "GatedLinears",
    "Graph",
    "Linears",
    "Node",
    "One",
    "Operation",
    "Part",
    "Recurrence",
    "Rope",
    "Shape",
    "Step",
    "Value",
    "Weights",
    "cut",
    "finish",
    "for_pairs",
    "fuse",
    "has_head",
    "is_encoder",
    "key_rotations",
    "layer_starts",
    "layers_text",
    "n_embedded",
    "n_layers",
    "origin",
    "rewrite",
    "schedule",
    "show",
    "states",
    "table_of",
]
