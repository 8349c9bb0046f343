"""Formulas over one JSON type, as alternatives: each a list of atoms that must all hold.

A conjunction is a set of literals: subschemas that must hold, or must not. `Formulas` rewrites one
into alternatives of atoms, which speak of the value itself or name conjunctions of its parts.
Atoms are tuples; containers.py, numbers.py and strings.py say what becomes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from llmpy.constraints.schema.document import Document, Literal, Node
from llmpy.errors import ConstraintError

__all__ = [
    "FALSE",
    "KEYWORDS",
    "TRUE",
    "TYPES",
    "Alternatives",
    "Atom",
    "Conjunction",
    "Formulas",
    "Keyword",
    "keyword",
    "type_of",
]

Conjunction = frozenset[Literal]
Atom = tuple[Any, ...]
Alternatives = list[tuple[Atom, ...]]

TYPES = ("null", "boolean", "number", "string", "array", "object")
MAX_ALTERNATIVES = 400
MAX_WORK = 200_000  # atoms made for one schema
MAX_NODES = 20_000
TRUE: Alternatives = [()]
FALSE: Alternatives = []


def type_of(value: Any) -> str:
    """Return the JSON type of a value; integers are numbers."""
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), (int | float, "number"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "array" if isinstance(value, list) else "object"


class Joined(tuple[Literal, ...]):
    """A conjunction in the place of a subschema."""

    __slots__ = ()


class Formulas:
    """The alternatives of conjunctions of a document's subschemas.

    `assert_formats`: whether `format` is checked, or says nothing.
    """

    def __init__(self, document: Document, assert_formats: bool) -> None:
        self.document = document
        self.assert_formats = assert_formats
        self._open: set[tuple[Literal, str, bool]] = set()  # that are being rewritten
        self._made: dict[tuple[Literal, str, bool], Alternatives] = {}
        self._joined: dict[Conjunction, int] = {}
        self._work = 0

    # Conjunctions

    def conjunction(self, literals: Iterable[Literal]) -> Conjunction | None:
        """Return a conjunction without what always holds; None for one that never does."""
        found = set()
        for number, holds in literals:
            fixed = self._fixed(number)
            if fixed is None:
                found.add((number, holds))
            elif fixed != holds:
                return None
        if any((number, not holds) in found for number, holds in found):
            return None
        return frozenset(found)

    def fixed(self, literal: Literal) -> bool | None:
        """Return whether a literal always holds, or never; None where it depends."""
        fixed = self._fixed(literal[0])
        return fixed if fixed is None else fixed == literal[1]

    def _fixed(self, number: int) -> bool | None:
        """Whether a subschema always holds, or never; None where it depends."""
        schema = self.document.nodes[number].schema
        return schema if isinstance(schema, bool) else (None if schema else True)

    def literal(self, schema: Any, node: Node | None = None, *, stands: bool = True) -> Literal:
        """Return the literal that a subschema holds; `stands`: it is a part of the document."""
        document = self.document
        if len(document.nodes) > MAX_NODES:
            raise ConstraintError("schema: it has too many parts, or combinations of them")
        return (document.number(schema, node) if stands else document.add(schema, node)), True

    def joined(self, conjunction: Conjunction) -> Literal:
        """Return one literal for a conjunction."""
        if len(conjunction) == 1:
            return next(iter(conjunction))
        if conjunction not in self._joined:
            self._joined[conjunction], _ = self.literal(Joined(sorted(conjunction)), stands=False)
        return self._joined[conjunction], True

    def alternatives(self, conjunction: Conjunction, kind: str) -> Alternatives:
        """Return what a conjunction says of values of one type."""
        return self.all_of(
            self.of_literal(literal, kind, marks=True) for literal in sorted(conjunction)
        )

    # Connectives

    def all_of(self, parts: Iterable[Alternatives]) -> Alternatives:
        """Return the alternatives of: all of these."""
        found = TRUE
        for part in parts:
            if part == TRUE:
                continue
            found = self._limited(tuple(dict.fromkeys((*a, *b))) for a in found for b in part)
            if not found:
                break
        return found

    def any_of(self, parts: Iterable[Alternatives]) -> Alternatives:
        """Return the alternatives of: any of these."""
        return self._limited(a for part in parts for a in part)

    def _limited(self, alternatives: Iterable[tuple[Atom, ...]]) -> Alternatives:
        found: dict[tuple[Atom, ...], None] = {}
        for alternative in alternatives:
            self._work += 1 + len(alternative)
            if contradicts(alternative):
                continue
            found[alternative] = None
            if len(found) > MAX_ALTERNATIVES or self._work > MAX_WORK:
                raise ConstraintError(
                    "schema: allOf, anyOf, oneOf, not and if make too many combinations"
                )
        return list(found)

    # Schemas

    def of_literal(self, literal: Literal, kind: str, *, marks: bool) -> Alternatives:
        """Return the alternatives of one literal.

        `marks`: whether atoms note which parts of a value were evaluated.
        """
        marks = marks and self.document.has_unevaluated
        key = literal, kind, marks
        if key in self._made:
            return self._made[key]
        number, holds = literal
        node = self.document.nodes[number]
        if isinstance(node.schema, bool):
            return TRUE if node.schema == holds else FALSE
        if key in self._open:
            raise ConstraintError("$ref leads to itself without end", node.pointer)
        self._open.add(key)
        try:
            found = self._of_schema(node, kind, holds, marks and holds)
        finally:
            self._open.discard(key)
        self._made[key] = found
        return found

    def _of_schema(self, node: Node, kind: str, holds: bool, marks: bool) -> Alternatives:
        schema = node.schema
        if isinstance(schema, Joined):
            parts = (self.of_literal((n, s == holds), kind, marks=marks) for n, s in schema)
            return self.all_of(parts) if holds else self.any_of(parts)
        keywords = [k for k in KEYWORDS if k in schema]
        keywords = [k for k in keywords if KEYWORDS[k][0] in ("any", kind)]
        late = [k for k in keywords if k.startswith("unevaluated")]
        parts = (
            self._of_keyword(node, keyword, kind, holds, marks)
            for keyword in keywords
            if keyword not in late
        )
        if holds:
            found = self.all_of(parts)
            for keyword in late:
                found = self._limited(self._with_unevaluated(node, keyword, found, marks))
            return found
        found = self.any_of(parts)
        for keyword in late:
            others = self.all_of(
                self._of_keyword(node, k, kind, True, True) for k in keywords if k not in late
            )
            found = self.any_of([found, self._not_unevaluated(node, keyword, others)])
        return found

    def _of_keyword(
        self, node: Node, keyword: str, kind: str, holds: bool, marks: bool
    ) -> Alternatives:
        try:
            return KEYWORDS[keyword][1](Keyword(self, node, keyword, kind, marks), holds)
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            if isinstance(error, ConstraintError):
                if error.pointer is None:
                    raise ConstraintError(str(error), f"{node.pointer}/{keyword}") from None
                raise
            value = repr(node.schema[keyword])[:60]
            raise ConstraintError(
                f"{keyword}: {value} is no value for it", f"{node.pointer}/{keyword}"
            ) from None

    # Parts that no other keyword has evaluated

    def _with_unevaluated(
        self, node: Node, keyword: str, found: Alternatives, marks: bool
    ) -> Iterator[tuple[Atom, ...]]:
        literal = self.literal(node.schema[keyword], node)
        for alternative in found:
            if keyword == "unevaluatedProperties":
                region = frozenset((n, not s) for n, s in _regions(alternative))
                atoms: list[Atom] = [("keys", region, literal)]
                atoms += [("seen", (self.literal(True, stands=False)))] if marks else []
            else:
                first, literals = _evaluated_items(alternative)
                if first is None:
                    atoms = []
                elif literals:
                    choice = self._choice([*literals, literal])
                    atoms = [("rest", first, choice)]
                else:
                    atoms = [("rest", first, literal)]
                atoms += [("seen items", None)] if marks else []
            yield tuple(dict.fromkeys((*alternative, *atoms)))

    def _choice(self, literals: list[Literal]) -> Literal:
        """One literal for: any of some."""
        number, sign = self.joined(frozenset((n, not s) for n, s in literals))
        return number, not sign

    def _not_unevaluated(self, node: Node, keyword: str, others: Alternatives) -> Alternatives:
        if not others:
            return FALSE
        if len(others) > 1:
            raise ConstraintError(
                f"{keyword} within not, oneOf or if is not supported", node.pointer
            )
        (alternative,) = others
        number, _ = self.literal(node.schema[keyword], node)
        if keyword == "unevaluatedProperties":
            region = frozenset((n, not s) for n, s in _regions(alternative))
            extra: Atom = ("somekey", region, (number, False))
        else:
            first, literals = _evaluated_items(alternative)
            if first is None:
                return FALSE
            if literals:
                raise ConstraintError(f"{keyword} with contains within not", node.pointer)
            extra = ("some", first, (number, False), 1)
        return [tuple(a for a in (*alternative, extra) if not a[0].startswith("seen"))]


def _regions(alternative: tuple[Atom, ...]) -> list[Literal]:
    """Return the keys that were evaluated: those whose names one of these schemas holds for."""
    return [atom[1] for atom in alternative if atom[0] == "seen"]


def _evaluated_items(alternative: tuple[Atom, ...]) -> tuple[int | None, list[Literal]]:
    """Return how many items were evaluated (None: all), and what evaluates the others."""
    first: int | None = 0
    literals = []
    for atom in alternative:
        if atom[0] == "seen items":
            first = None if first is None or atom[1] is None else max(first, atom[1])
        elif atom[0] == "seen like":
            literals.append(atom[1])
    return first, literals


def contradicts(alternative: tuple[Atom, ...]) -> bool:
    """Whether atoms contradict each other in a way that is seen at once."""
    needed = {atom[1] for atom in alternative if atom[0] == "need"}
    if needed and any(atom[0] == "lack" and atom[1] in needed for atom in alternative):
        return True
    patterns = {atom[1:] for atom in alternative if atom[0] == "pattern"}
    return any((pattern, not sign) in patterns for pattern, sign in patterns)


class Keyword:
    """One keyword of one subschema, for one type of value."""

    def __init__(
        self, formulas: Formulas, node: Node, keyword: str, kind: str, marks: bool
    ) -> None:
        self.formulas = formulas
        self.node = node
        self.schema = node.schema
        self.name = keyword
        self.value = node.schema[keyword]
        self.kind = kind
        self.marks = marks

    def sub(self, schema: Any) -> Literal:
        """The literal of a subschema that stands in the document."""
        return self.formulas.literal(schema, self.node)

    def other(self, name: str) -> Keyword:
        """Another keyword beside this one."""
        return Keyword(self.formulas, self.node, name, self.kind, self.marks)

    def made(self, schema: Any) -> Literal:
        """The literal of a subschema that is made for this."""
        return self.formulas.literal(schema, self.node, stands=False)

    def of(self, literal: Literal, holds: bool, marks: bool | None = None) -> Alternatives:
        """The alternatives of a literal about the same value, or of its opposite."""
        number, sign = literal
        wanted = self.marks if marks is None else marks
        return self.formulas.of_literal((number, sign == holds), self.kind, marks=wanted)

    def all(self, parts: Iterable[Alternatives]) -> Alternatives:
        """The alternatives of: all of these."""
        return self.formulas.all_of(parts)

    def any(self, parts: Iterable[Alternatives]) -> Alternatives:
        """The alternatives of: any of these."""
        return self.formulas.any_of(parts)

    def unsupported(self, what: str) -> ConstraintError:
        """The error for something that no grammar can say."""
        return ConstraintError(f"{what} is not supported", self.node.pointer)


Rule = Callable[[Keyword, bool], Alternatives]
KEYWORDS: dict[str, tuple[str, Rule]] = {}
"""The type that each keyword is about, or "any", and its rule; keywords.py has them all."""


def keyword(kind: str, *names: str) -> Callable[[Rule], Rule]:
    """Make a function the rule of keywords, in the order in which they are to be looked at."""

    def add(rule: Rule) -> Rule:
        for name in names:
            KEYWORDS[name] = kind, rule
        return rule

    return add
