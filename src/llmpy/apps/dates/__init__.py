"""Dates as people write them, in any form, to values in the Extended Date/Time Format.

from llmpy.apps import dates
dates.parse("from spring 1066 until 25 December 1071")  # [DateRange('1066-21/1071-12-25', ...)]
"""

from llmpy.apps.dates.edtf import from_edtf
from llmpy.apps.dates.parsing import Parser, aparse, model_path, normalise, parse, parse_many
from llmpy.apps.dates.values import Answer, Date, DateRange, DateSet, Day, Value

__all__ = [
    "Answer",
    "Date",
    "DateRange",
    "DateSet",
    "Day",
    "Parser",
    "Value",
    "aparse",
    "from_edtf",
    "model_path",
    "normalise",
    "parse",
    "parse_many",
]
