"""Objects and arrays: atoms to rules of a grammar.

Where items or properties must be counted, the rules are those of an automaton that reads one after
the other: a state is a place and how much was counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from llmpy.constraints.schema.document import Literal
from llmpy.constraints.schema.formula import Atom, Conjunction, Formulas
from llmpy.constraints.schema.rules import Grammar, Symbol
from llmpy.constraints.schema.scalars import json_text, string_holds, string_symbols
from llmpy.errors import ConstraintError

__all__ = ["array_symbols", "object_symbols"]

MAX_STATES = 3000
MAX_REGIONS = 6  # of names of properties that differ in what they say
COMMA, COLON = ("text", ", "), ("text", ": ")
Value = Callable[[Conjunction], Symbol]
Sequence = tuple[Symbol, ...]


# Objects


@dataclass
class _Members:
    """The properties of an object: those with a name, and classes of the others."""

    known: list[tuple[str, Conjunction | None, Conjunction | None, bool]]
    others: list[tuple[list[Sequence], Conjunction]]
    others_wanted: list[tuple[list[Sequence], Conjunction]]
    wants: bool
    least: int
    most: int | None


def object_symbols(
    grammar: Grammar, formulas: Formulas, atoms: tuple[Atom, ...], value: Value
) -> list[Sequence]:
    """Return the alternatives of an object for which all atoms hold; `value` makes its parts."""
    members = _members(grammar, formulas, atoms)
    if members is None:
        return []
    writer = _ObjectWriter(grammar, members, value)
    inner = writer.state(0, 0, not members.wants)
    writer.write()
    return [(("text", "{"), inner, ("text", "}"))]


def _members(grammar: Grammar, formulas: Formulas, atoms: tuple[Atom, ...]) -> _Members | None:
    names: dict[str, list[Literal]] = {}
    never = formulas.literal(False, stands=False)
    for kind in ("prop", "need", "lack"):
        for atom in atoms:
            if atom[0] == kind:
                conjuncts = names.setdefault(atom[1], [])
                conjuncts += [atom[2]] if kind == "prop" else [never] if kind == "lack" else []
    needed = {atom[1] for atom in atoms if atom[0] == "need"}
    regions: dict[Conjunction, list[Literal]] = {}
    for _, region, literal in (atom for atom in atoms if atom[0] == "keys"):
        if (found := formulas.conjunction(region)) is not None:
            regions.setdefault(found, []).append(literal)
    wanted = dict.fromkeys(atom[1:] for atom in atoms if atom[0] == "somekey")
    if len(wanted) > 1:
        raise ConstraintError("not, of several keywords about all properties, is not supported")
    want = next(iter(wanted), None)

    def belongs(name: str, region: Conjunction) -> bool:
        return any(string_holds(name, a) for a in formulas.alternatives(region, "string"))

    known = []
    for name, conjuncts in names.items():
        literals = [*conjuncts]
        literals += [x for region, own in regions.items() if belongs(name, region) for x in own]
        good = None
        if want is not None and (region := formulas.conjunction(want[0])) is not None:
            good = formulas.conjunction([*literals, want[1]]) if belongs(name, region) else None
        kept = formulas.conjunction(literals)
        if kept is None and name in needed:
            return None
        known.append((name, kept, good, name in needed))
    if len(regions) > MAX_REGIONS:
        raise ConstraintError("patternProperties: more patterns than are supported")
    outside = formulas.literal({"enum": list(names)}, stands=False)
    start = [(outside[0], False)] if names else []
    others = list(_classes(grammar, formulas, list(regions.items()), start, []))
    wanted_others = []
    if want is not None:
        wanted_others = list(
            _classes(grammar, formulas, list(regions.items()), [*start, *want[0]], [want[1]])
        )
    least = max((atom[1] for atom in atoms if atom[0] == "minp"), default=0)
    most = min((atom[1] for atom in atoms if atom[0] == "maxp"), default=None)
    if others and least > 1 + len(needed):
        raise ConstraintError(
            "minProperties: more than one property beyond the required ones is not supported "
            "where properties without a name are allowed"
        )
    return _Members(known, others, wanted_others, want is not None, least, most)


def _classes(
    grammar: Grammar,
    formulas: Formulas,
    regions: list[tuple[Conjunction, list[Literal]]],
    names: list[Literal],
    values: list[Literal],
) -> Iterator[tuple[list[Sequence], Conjunction]]:
    """Names of properties that no keyword names, by what is said of their values."""
    if not regions:
        name, value = formulas.conjunction(names), formulas.conjunction(values)
        if name is None or value is None:
            return
        keys: list[Sequence] = []
        for alternative in formulas.alternatives(name, "string"):
            keys += string_symbols(grammar, alternative)
        if keys:
            yield keys, value
        return
    (region, literals), *rest = regions
    number, sign = formulas.joined(region)
    for names_in, values_in in (
        ([*names, (number, sign)], [*values, *literals]),
        ([*names, (number, not sign)], values),
    ):
        yield from _classes(grammar, formulas, rest, names_in, values_in)


@dataclass
class _ObjectWriter:
    """The states of an object: how many named properties were passed, how many are there."""

    grammar: Grammar
    members: _Members
    value: Value
    made: dict[tuple[int, int, bool], Symbol] = field(default_factory=dict)
    waiting: list[tuple[str, int, int, bool]] = field(default_factory=list)

    def write(self) -> None:
        """Write the rules of all states."""
        while self.waiting:
            name, at, count, met = self.waiting.pop()
            self.grammar.add(name, self._alternatives(at, count, met))

    def state(self, at: int, count: int, met: bool) -> Symbol:
        """Return the rule of what may follow; `met`: whether what some property must be, one is."""
        members = self.members
        cap = max(1, members.least) if members.most is None else members.most + 1
        key = at, min(count, max(cap, 1)), met
        if key not in self.made:
            if len(self.made) > MAX_STATES:
                raise ConstraintError("minProperties or maxProperties: too many combinations")
            name = self.grammar.name("o")
            self.made[key] = ("rule", name)
            self.waiting.append((name, *key))
        return self.made[key]

    def _alternatives(self, at: int, count: int, met: bool) -> list[Sequence]:
        members = self.members
        is_full = members.most is not None and count >= members.most
        comma = (COMMA,) if count else ()
        if at == len(members.known):
            return self._ending(count, met, is_full, comma)
        name, conjunction, good, needed = members.known[at]
        found: list[Sequence] = []
        head = (*comma, ("text", json_text(name)), COLON)
        if not is_full and conjunction is not None:
            after = self.state(at + 1, count + 1, met)
            found.append((*head, self.value(conjunction), after))
        if not is_full and good is not None and not met:
            found.append((*head, self.value(good), self.state(at + 1, count + 1, True)))
        if not needed:
            found.append((self.state(at + 1, count, met),))
        return found

    def _ending(self, count: int, met: bool, is_full: bool, comma: Sequence) -> list[Sequence]:
        """Return the rule for everything after the named properties."""
        members = self.members
        at = len(members.known)
        found: list[Sequence] = []
        if met and count >= members.least:
            found.append(())
        if is_full:
            return found
        others = [(*k, COLON, self.value(c)) for keys, c in members.others for k in keys]
        if others and members.most is None and count:
            found = [(("repeat", (COMMA, self._one_of(others)), 0, None),)] if found else []
            others = others if count < members.least else []
        found += [(*comma, *other, self.state(at, count + 1, met)) for other in others]
        if not met:  # the property that must be somewhere comes last, so that none replaces it
            wanted = [(*k, COLON, self.value(c)) for keys, c in members.others_wanted for k in keys]
            before: Sequence = ()
            if members.others and members.most is None and count:
                pairs = [(*k, COLON, self.value(c)) for keys, c in members.others for k in keys]
                before = (("repeat", (COMMA, self._one_of(pairs)), 0, None),)
            if count + 1 >= members.least:
                found += [(*before, *comma, *other) for other in wanted]
        return found

    def _one_of(self, alternatives: list[Sequence]) -> Symbol:
        name = self.grammar.name("p")
        self.grammar.add(name, alternatives)
        return ("rule", name)


# Arrays


@dataclass
class _Items:
    """The items of an array: what is said of each place, how many there are, what is counted."""

    at: dict[int, list[Literal]]
    rest: list[tuple[int, Literal]]
    least: int
    most: int | None
    counted: list[tuple[int, Literal, int, bool]]  # from where, what, how many, at least or at most

    def literals(self, place: int) -> list[Literal]:
        """Return what is said of one place."""
        rest = [literal for start, literal in self.rest if start <= place]
        return [*self.at.get(place, []), *rest]

    @property
    def n_places(self) -> int:
        """The number of places of which something of their own is said."""
        starts = [start for start, _ in self.rest] + [start for start, *_ in self.counted]
        return max([*(i + 1 for i in self.at), *starts], default=0)


def array_symbols(
    grammar: Grammar, formulas: Formulas, atoms: tuple[Atom, ...], value: Value
) -> list[Sequence]:
    """Return the alternatives of an array for which all atoms hold; `value` makes its parts."""
    items = _items(formulas, atoms)
    if items is None or (items.most is not None and items.least > items.most):
        return []
    _check_unique(atoms, items)
    writer = _ArrayWriter(grammar, formulas, items, value)
    inner = writer.counting(0, (0,) * len(items.counted)) if items.counted else writer.plain(0)
    writer.write()
    return [(("text", "["), inner, ("text", "]"))]


def _items(formulas: Formulas, atoms: tuple[Atom, ...]) -> _Items | None:
    least = max((atom[1] for atom in atoms if atom[0] == "minlen"), default=0)
    most = min((atom[1] for atom in atoms if atom[0] == "maxlen"), default=None)
    items = _Items({}, [a[1:] for a in atoms if a[0] == "rest"], least, most, [])
    for atom in atoms:
        if atom[0] == "item":
            items.at.setdefault(atom[1], []).append(atom[2])
        elif atom[0] == "some":
            _, start, literal, n = atom
            fixed = formulas.fixed(literal)
            if fixed is False:
                return None
            if fixed:
                items.least = max(items.least, start + n)
            else:
                items.counted.append((start, literal, n, True))
        elif atom[0] == "most":
            _, literal, n = atom
            fixed = formulas.fixed(literal)
            if fixed:
                items.most = n if items.most is None else min(items.most, n)
            elif fixed is None:
                items.counted.append((0, literal, n, False))
    return items


def _check_unique(atoms: tuple[Atom, ...], items: _Items) -> None:
    if ("not unique",) in atoms:
        raise ConstraintError("uniqueItems within not, oneOf or if is not supported")
    if ("unique",) in atoms and (items.most is None or items.most > 1):
        raise ConstraintError("uniqueItems is not supported for arrays of more than one item")


@dataclass
class _ArrayWriter:
    grammar: Grammar
    formulas: Formulas
    items: _Items
    value: Value
    made: dict[tuple[Any, ...], Symbol] = field(default_factory=dict)
    waiting: list[tuple[str, int, tuple[int, ...] | None]] = field(default_factory=list)

    def write(self) -> None:
        """Write the rules of all places."""
        while self.waiting:
            name, place, counts = self.waiting.pop()
            if counts is None:
                self.grammar.add(name, self._plain(place))
            else:
                self.grammar.add(name, self._alternatives(place, counts))

    def plain(self, place: int) -> Symbol:
        """Return the rule of what may follow at a place where nothing is counted."""
        name = self.grammar.name("a")
        self.waiting.append((name, place, None))
        return ("rule", name)

    def _plain(self, place: int) -> list[Sequence]:
        items = self.items
        found: list[Sequence] = [()] if place >= items.least else []
        conjunction = self.formulas.conjunction(items.literals(place))
        if conjunction is not None and (items.most is None or place < items.most):
            comma = (COMMA,) if place else ()
            item = (*comma, self.value(conjunction))
            if place < items.n_places:
                found.append((*item, self.plain(place + 1)))
            else:
                least = max(0, items.least - place - 1)
                most = None if items.most is None else items.most - place - 1
                pair = (COMMA, self.value(conjunction))
                if place:
                    least += 1
                    most = None if most is None else most + 1
                    found = [(("repeat", pair, max(0, items.least - place), most),)]
                else:
                    found.append((*item, ("repeat", pair, least, most)))
        return found

    def counting(self, place: int, counts: tuple[int, ...]) -> Symbol:
        """Return the rule of what may follow where so much was counted."""
        items = self.items
        last = max(items.n_places, items.least, 1) if items.most is None else items.most
        key = min(place, last), counts
        if key not in self.made:
            if len(self.made) > MAX_STATES:
                raise ConstraintError("contains: too many combinations of counts")
            name = self.grammar.name("c")
            self.made[key] = ("rule", name)
            self.waiting.append((name, *key))
        return self.made[key]

    def _alternatives(self, place: int, counts: tuple[int, ...]) -> list[Sequence]:
        items = self.items
        done = all(
            n >= wanted
            for n, (_, _, wanted, is_least) in zip(counts, items.counted, strict=True)
            if is_least
        )
        found: list[Sequence] = [()] if done and place >= items.least else []
        if items.most is not None and place >= items.most:
            return found
        comma = (COMMA,) if place else ()
        for literals, after in self._steps(place, counts):
            conjunction = self.formulas.conjunction([*items.literals(place), *literals])
            if conjunction is not None:
                item = self.value(conjunction)
                found.append((*comma, item, self.counting(place + 1, after)))
        return found

    def _steps(
        self, place: int, counts: tuple[int, ...]
    ) -> Iterator[tuple[list[Literal], tuple[int, ...]]]:
        """Return the alternatives of an item for each count, and the counts after it."""
        options: list[list[tuple[list[Literal], int]]] = []
        for n, (start, literal, wanted, is_least) in zip(counts, self.items.counted, strict=True):
            opposite = literal[0], not literal[1]
            if is_least:
                steps: list[tuple[list[Literal], int]] = [([], n)]
                if place >= start and n < wanted:
                    steps.append(([literal], n + 1))
            else:
                steps = [([opposite], n)]
                if n < wanted:
                    steps.append(([literal], n + 1))
            options.append(steps)
        for chosen in product(*options):
            yield [x for some, _ in chosen for x in some], tuple(n for _, n in chosen)
