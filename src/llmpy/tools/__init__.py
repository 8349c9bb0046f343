"""Tools: functions that a model may call, in the format of its family.

definition.py  what a tool is        layouts.py  how families write calls
grammar.py     calls as a grammar    reader.py   calls from the text of an answer
toolset.py     the tools of an answer   calling.py  calling the functions
"""

from llmpy.tools.calling import acalled, called, result_message
from llmpy.tools.definition import Tool
from llmpy.tools.layouts import Layout, layout_of
from llmpy.tools.reader import CallReader, parse_calls
from llmpy.tools.toolset import Toolset, toolset

__all__ = [
    "CallReader",
    "Layout",
    "Tool",
    "Toolset",
    "acalled",
    "called",
    "layout_of",
    "parse_calls",
    "result_message",
    "toolset",
]
