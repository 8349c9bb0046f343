"""GBNF, the grammars of llama.cpp, as Lark's."""

from __future__ import annotations

import re

from llmpy.constraints.limits import check_nesting, check_size
from llmpy.errors import ConstraintError

__all__ = ["is_lark", "lark_of"]

RULE = re.compile(r"^[ \t]*[\w-]+[ \t]*::=", re.M)


def is_lark(text: str) -> bool:
    """Whether a grammar is in Lark's syntax; GBNF writes `::=`."""
    return RULE.search(text) is None


def lark_of(text: str) -> str:
    """Return a GBNF grammar in Lark's syntax; ConstraintError where it is none."""
    from llguidance.gbnf_to_lark import gbnf_to_lark

    check_size("grammar", text)
    check_nesting("grammar", text)
    try:
        return gbnf_to_lark(text)
    except Exception as error:  # of many types, for grammars with mistakes
        reason = str(error) or "it ends within a rule"
        raise ConstraintError(f"grammar: expected one in GBNF: {reason}") from None
