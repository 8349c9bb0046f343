"""A context-free grammar as it is built, and as text in Lark's syntax for llguidance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmpy.constraints.lark import literal
from llmpy.constraints.limits import MAX_RULES
from llmpy.constraints.vocabulary import byte_vocabulary
from llmpy.errors import ConstraintError

__all__ = ["Grammar", "Symbol", "is_empty"]

Symbol = tuple[Any, ...]
"""("text", text), ("term", name), ("rule", name), or ("repeat", symbols, least, most or None)."""

MAX_SYMBOLS = 40_000


class Grammar:
    """Rules by name, each a list of alternatives, and terminals by expression.

    `name` is that of the first rule in the text; but for "start", all others begin with it.
    """

    def __init__(self, name: str = "start") -> None:
        self._start = name
        self._prefix = "" if name == "start" else f"{name}_"
        self.rules: dict[str, list[tuple[Symbol, ...]]] = {}
        self._raw: dict[str, str] = {}
        self._terminals: dict[str, str] = {}
        self._n_symbols = 0

    def name(self, prefix: str) -> str:
        """Reserve a name for a rule."""
        if len(self.rules) >= MAX_RULES:
            raise ConstraintError("schema: its grammar is too large")
        name = f"{self._prefix}{prefix}{len(self.rules)}"
        self.rules[name] = []
        return name

    def add(self, name: str, alternatives: Iterable[tuple[Symbol, ...]]) -> None:
        """Add alternatives to a rule."""
        for alternative in dict.fromkeys(alternatives):
            self._n_symbols += 1 + len(alternative)
            if self._n_symbols > MAX_SYMBOLS:
                raise ConstraintError("schema: its grammar is too large")
            self.rules[name].append(alternative)

    def terminal(self, expression: str) -> Symbol:
        """Return a terminal by its expression."""
        name = f"{self._prefix.upper()}T{len(self._terminals)}"
        return "term", self._terminals.setdefault(expression, name)

    def json(self, schema: str) -> Symbol:
        """Return a rule for a schema that llguidance itself compiles."""
        return "rule", self._raw.setdefault(schema, f"{self._prefix}j{len(self._raw)}")

    def text(self, start: str) -> str:
        """Return the grammar in Lark's syntax; ConstraintError where it derives no text."""
        productive = self._productive()
        if start not in productive:
            raise ConstraintError("schema: no value is valid")
        lines = [f"{self._start}: {start}"]
        used, waiting = {start}, [start]
        terminals: set[str] = set()
        while waiting:
            name = waiting.pop()
            written = []
            for alternative in self.rules[name]:
                if all(self._can(symbol, productive) for symbol in alternative):
                    written.append(self._written(alternative, productive, terminals, used, waiting))
            lines.append(f"{name}: " + "\n | ".join(dict.fromkeys(written)))
        lines += [f"{name}: %json {raw}" for raw, name in self._raw.items() if name in used]
        lines += [
            f"{n}: {expression}" for expression, n in self._terminals.items() if n in terminals
        ]
        return "\n".join(lines)

    def _productive(self) -> set[str]:
        """The rules that derive a text."""
        found = set(self._raw.values())
        users: dict[str, set[str]] = {}
        for name, alternatives in self.rules.items():
            for alternative in alternatives:
                for used in _rules_of(alternative):
                    users.setdefault(used, set()).add(name)
        waiting = list(self.rules)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            if any(all(self._can(s, found) for s in a) for a in self.rules[name]):
                found.add(name)
                waiting += users.get(name, ())
        return found

    def _can(self, symbol: Symbol, productive: set[str]) -> bool:
        if symbol[0] == "rule":
            return symbol[1] in productive
        if symbol[0] == "repeat":
            return symbol[2] == 0 or all(self._can(s, productive) for s in symbol[1])
        return True

    def _written(
        self,
        alternative: tuple[Symbol, ...],
        productive: set[str],
        terminals: set[str],
        used: set[str],
        waiting: list[str],
    ) -> str:
        parts = []
        for kind, *rest in alternative:
            if kind == "text":
                parts.append(literal(rest[0]))
            elif kind == "term":
                terminals.add(rest[0])
                parts.append(rest[0])
            elif kind == "rule":
                if rest[0] not in used:
                    used.add(rest[0])
                    waiting += [rest[0]] if rest[0] in self.rules else []
                parts.append(rest[0])
            elif rest[2] != 0 and all(self._can(s, productive) for s in rest[0]):
                inner = self._written(rest[0], productive, terminals, used, waiting)
                parts.append(f"({inner}){_times(rest[1], rest[2])}")
        return " ".join(parts) or '""'


def _rules_of(symbols: tuple[Symbol, ...]) -> Iterable[str]:
    for symbol in symbols:
        if symbol[0] == "rule":
            yield symbol[1]
        elif symbol[0] == "repeat":
            yield from _rules_of(symbol[1])


def _times(least: int, most: int | None) -> str:
    if (least, most) == (0, None):
        return "*"
    if (least, most) == (1, None):
        return "+"
    if (least, most) == (0, 1):
        return "?"
    return f"{{{least},{'' if most is None else most}}}"


def is_empty(expression: str) -> bool:
    """Whether a terminal matches no text; ConstraintError where that takes too much to tell."""
    from llmpy.constraints.compiling import attempt

    found = attempt(f"start: T\nT: {expression}", byte_vocabulary(), "schema")
    if not isinstance(found, str):
        return False
    if found != "no text matches it":
        raise ConstraintError(f"schema: a string of it: {found}")
    return True
