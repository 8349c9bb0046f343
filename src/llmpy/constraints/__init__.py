"""Constraints on generated text: JSON schemas, types, regular expressions, grammars, choices."""

from llmpy.constraints.compiling import begin, constraint_state
from llmpy.constraints.constraint import Constraint, choices, grammar, regex
from llmpy.constraints.lark import literal
from llmpy.constraints.partial import Leaf, leaves, partial_value
from llmpy.constraints.schema import json_schema, schema_rules
from llmpy.constraints.state import ConstraintState
from llmpy.constraints.types import AnswerType, Constrain, answer_type, schema_of

__all__ = [
    "AnswerType",
    "Constrain",
    "Constraint",
    "ConstraintState",
    "Leaf",
    "answer_type",
    "begin",
    "choices",
    "constraint_state",
    "grammar",
    "json_schema",
    "leaves",
    "literal",
    "partial_value",
    "regex",
    "schema_of",
    "schema_rules",
]
