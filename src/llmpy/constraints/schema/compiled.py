"""`json_schema`: the constraint of a JSON schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from llmpy import checks
from llmpy.constraints.constraint import Constraint
from llmpy.constraints.schema import keywords  # noqa: F401 - which gives the rules of all keywords
from llmpy.constraints.schema.containers import array_symbols, object_symbols
from llmpy.constraints.schema.document import Document, copied
from llmpy.constraints.schema.formula import TYPES, Conjunction, Formulas
from llmpy.constraints.schema.rules import Grammar, Symbol
from llmpy.constraints.schema.scalars import number_symbols, string_symbols
from llmpy.errors import ConstraintError

__all__ = ["json_schema", "schema_rules"]

NAME = re.compile("[a-z][a-z0-9_]*")


def json_schema(schema: Mapping[str, Any] | bool, *, assert_formats: bool = True) -> Constraint:
    """Return the constraint that the text is JSON that is valid under a schema (draft 2020-12).

    The JSON is written on one line, as Python's `json.dumps(..., ensure_ascii=False)` does, with
    properties in the order of the schema. `assert_formats`: whether `format` is checked, which the
    draft leaves open. Every text that can be generated is valid; docs/typed.md lists what is not
    supported. Raises ConstraintError, before anything is generated, for a keyword that is not
    supported, an invalid schema, one that no value satisfies, and one that is too large.
    """
    source = _source(schema)
    checks.flag("assert_formats", assert_formats)
    return Constraint(_grammar(source, assert_formats, "start"), f"schema {source}")


def schema_rules(schema: Mapping[str, Any] | bool, name: str) -> str:
    """Return the rule `name` that derives the JSON of what is valid by a schema, and its parts.

    For larger grammars, in Lark's syntax: the names of all other rules begin with `name_`. Errors
    are those of `json_schema`.
    """
    if not NAME.fullmatch(name) or name == "start":
        raise ValueError(f"name: expected lower-case letters, digits and _, found {name!r}")
    return _grammar(_source(schema), True, name)


def _source(schema: Mapping[str, Any] | bool) -> str:
    """The text of a schema that is JSON."""
    if not isinstance(schema, bool | Mapping):
        raise checks.wrong_type("schema", "a dict", schema)
    given = copied(dict(schema) if isinstance(schema, Mapping) else schema)
    return json.dumps(given, ensure_ascii=False)


@lru_cache(maxsize=64)
def _grammar(source: str, assert_formats: bool, name: str) -> str:
    try:
        document = Document(json.loads(source))
        compiler = _Compiler(Formulas(document, assert_formats), name)
        return compiler.text((document.root, True))
    except RecursionError:
        raise ConstraintError("schema: its references lead too deep") from None


class _Compiler:
    """Makes a rule for each conjunction that the value or a part of it must satisfy."""

    def __init__(self, formulas: Formulas, name: str) -> None:
        self._formulas = formulas
        self._grammar = Grammar(name)
        self._names: dict[Conjunction, str] = {}
        self._waiting: list[Conjunction] = []

    def text(self, root: tuple[int, bool]) -> str:
        """Return the grammar of a literal."""
        start = self._formulas.conjunction([root])
        if start is None:
            raise ConstraintError("schema: no value is valid")
        _, name = self.value(start)
        while self._waiting:
            self._add(self._waiting.pop())
        return self._grammar.text(name)

    def value(self, conjunction: Conjunction) -> Symbol:
        """Return the rule of a conjunction, to be made later."""
        if conjunction not in self._names:
            self._names[conjunction] = self._grammar.name("v")
            self._waiting.append(conjunction)
        return "rule", self._names[conjunction]

    def _add(self, conjunction: Conjunction) -> None:
        grammar, formulas = self._grammar, self._formulas
        name = self._names[conjunction]
        for kind in TYPES:
            for atoms in formulas.alternatives(conjunction, kind):
                if kind == "null":
                    grammar.add(name, [(("text", "null"),)])
                elif kind == "boolean":
                    grammar.add(name, _booleans(atoms))
                elif kind == "number":
                    grammar.add(name, number_symbols(grammar, atoms))
                elif kind == "string":
                    grammar.add(name, string_symbols(grammar, atoms))
                elif kind == "array":
                    grammar.add(name, array_symbols(grammar, formulas, atoms, self.value))
                else:
                    grammar.add(name, object_symbols(grammar, formulas, atoms, self.value))


def _booleans(atoms: tuple[tuple[Any, ...], ...]) -> list[tuple[Symbol, ...]]:
    left = [False, True]
    for kind, values in atoms:
        left = [value for value in left if (value in values) == (kind == "in")]
    return [(("text", json.dumps(value)),) for value in left]
