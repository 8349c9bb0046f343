"""Arguments of calls that a model writes in Python."""

from __future__ import annotations

import ast
import math
import re
from typing import Any

__all__ = ["arguments_of"]

WORDS = {"true": True, "false": False, "null": None}  # of JSON, which models mix in
MAX_DEPTH = 100
ESCAPE = re.compile(r"\\(.)", re.S)
KNOWN = frozenset("\\'\"abfnrtv01234567xuUN\n")  # what Python has after a backslash


def arguments_of(text: str) -> dict[str, Any]:
    """Return the arguments of `(name=value, ...)`; ValueError for anything else.

    Values are literals of Python or JSON.
    """
    text = "f" + ESCAPE.sub(_escaped, text)
    try:
        try:
            call = ast.parse(text, mode="eval").body
        except SyntaxError:  # a line break within a string, say
            call = ast.parse(text.replace("\n", "\\n"), mode="eval").body
    except (SyntaxError, MemoryError, RecursionError, ValueError) as error:
        raise ValueError(f"no arguments of a call: {error}") from None
    if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
        raise ValueError("expected arguments with names")
    return {str(keyword.arg): _value(keyword.value, 0) for keyword in call.keywords}


def _value(node: ast.expr, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | bool | None):
        if isinstance(node.value, float) and not math.isfinite(node.value):
            raise ValueError("expected a finite number")
        return _whole(node.value) if isinstance(node.value, str) else node.value
    if isinstance(node, ast.Name) and node.id in WORDS:
        return WORDS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, depth + 1)
        if isinstance(value, int | float):
            return -value
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item, depth + 1) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _value(key, depth + 1) for key in node.keys]
        if all(isinstance(key, str) for key in keys):
            values = [_value(item, depth + 1) for item in node.values]
            return dict(zip(keys, values, strict=True))
    raise ValueError("expected a literal")


def _escaped(match: re.Match[str]) -> str:
    """An escape as Python has it; JSON has one more."""
    if match[1] in KNOWN:
        return match[0]
    return "/" if match[1] == "/" else "\\\\" + match[1]


def _whole(text: str) -> str:
    """A text in which JSON's surrogate pairs are characters."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ValueError("a lone surrogate") from None
