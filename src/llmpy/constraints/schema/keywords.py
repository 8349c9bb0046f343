"""The keywords of JSON Schema 2020-12, each as alternatives of atoms.

A rule gets the keyword, and whether it must hold or must not. The order of the rules is that in
which the properties of an object come.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from llmpy.constraints.schema.document import Literal
from llmpy.constraints.schema.formats import FORMATS, LONGEST, REFUSED_FORMATS
from llmpy.constraints.schema.formula import (
    FALSE,
    TRUE,
    Alternatives,
    Atom,
    Keyword,
    keyword,
    type_of,
)

__all__ = ["LIMITS", "MAX_COUNT"]

MAX_COUNT = 10_000  # items, properties or characters that a schema may ask for
MAX_MARKED = 5  # branches of anyOf whose evaluated parts are combined


LIMITS = {
    "$ref": "within the schema; nothing is fetched",
    "$dynamicRef": "where its `$dynamicAnchor` is there once: then it is a `$ref`",
    "anyOf": f"with `unevaluated...`: of at most {MAX_MARKED} branches",
    "not": "of one keyword about all properties of an object at a time",
    "properties": "names of at most 1,000 or so: rules of the grammar are limited",
    "patternProperties": "at most 6 patterns in one object",
    "minProperties": "at most one more than the required ones, where any name is allowed",
    "unevaluatedProperties": "not within `not`, `oneOf` or `if`",
    "unevaluatedItems": "not within `not`, `oneOf` or `if`",
    "contains": "with `minContains` and `maxContains`, while their combinations are few",
    "minItems": f"at most {MAX_COUNT}, as `maxItems`",
    "uniqueItems": "`false`, or arrays of at most one item",
    "minLength": f"at most {MAX_COUNT}, as `maxLength`",
    "pattern": "without look-around, back references, `\\b`, and anchors within",
    "format": "see below",
    "minimum": "bounds up to 2**53",
    "multipleOf": "with few digits; not within `not`, `oneOf` or `if`",
    "enum": "and `const`: any values",
}
"""What each keyword may be, where that is less than the draft has."""


def _one(*atoms: Atom) -> Alternatives:
    return [atoms]


def _count(word: Keyword) -> int:
    value = word.value
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(value)
    if not 0 <= value <= MAX_COUNT:
        raise word.unsupported(f"a count of more than {MAX_COUNT} (found {value})")
    return int(value)


def _number(word: Keyword) -> int | float:
    if isinstance(word.value, bool) or not isinstance(word.value, int | float):
        raise TypeError(word.value)
    return word.value


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(value)
    return list(dict.fromkeys(value))


# Schemas of the same value


@keyword("any", "$ref", "$dynamicRef")
def _reference(word: Keyword, holds: bool) -> Alternatives:
    return word.of((word.formulas.document.resolved(word.node, word.name), True), holds)


@keyword("any", "allOf")
def _all_of(word: Keyword, holds: bool) -> Alternatives:
    parts = (word.of(word.sub(part), holds) for part in word.value)
    return word.all(parts) if holds else word.any(parts)


# Objects


@keyword("object", "properties")
def _properties(word: Keyword, holds: bool) -> Alternatives:
    subs = {name: word.sub(part) for name, part in word.value.items()}
    if not holds:
        return [(("need", k), ("prop", k, _not(sub))) for k, sub in subs.items()]
    atoms: list[Atom] = [("prop", k, sub) for k, sub in subs.items()]
    if word.marks:
        atoms.append(("seen", word.made({"enum": list(subs)})))
    return _one(*atoms)


@keyword("object", "patternProperties")
def _pattern_properties(word: Keyword, holds: bool) -> Alternatives:
    atoms: list[Atom] = []
    for pattern, part in word.value.items():
        name, sub = word.made({"pattern": pattern}), word.sub(part)
        atoms.append(
            ("keys" if holds else "somekey", frozenset([name]), sub if holds else _not(sub))
        )
        if holds and word.marks:
            atoms.append(("seen", name))
    return _one(*atoms) if holds else [(atom,) for atom in atoms]


@keyword("object", "additionalProperties")
def _additional_properties(word: Keyword, holds: bool) -> Alternatives:
    region = [_not(word.made({"pattern": p})) for p in word.schema.get("patternProperties", {})]
    if names := list(word.schema.get("properties", {})):
        region.append(_not(word.made({"enum": names})))
    sub = word.sub(word.value)
    if not holds:
        return _one(("somekey", frozenset(region), _not(sub)))
    atoms: list[Atom] = [("keys", frozenset(region), sub)]
    if word.marks:
        atoms.append(
            ("seen", word.formulas.joined(frozenset(region)) if region else word.made(True))
        )
    return _one(*atoms)


@keyword("object", "propertyNames")
def _property_names(word: Keyword, holds: bool) -> Alternatives:
    wrong = frozenset([_not(word.sub(word.value))])
    if holds:
        return _one(("keys", wrong, word.made(False)))
    return _one(("somekey", wrong, word.made(True)))


@keyword("object", "required")
def _required(word: Keyword, holds: bool) -> Alternatives:
    names = _strings(word.value)
    return _one(*(("need", k) for k in names)) if holds else [(("lack", k),) for k in names]


@keyword("object", "dependentRequired")
def _dependent_required(word: Keyword, holds: bool) -> Alternatives:
    items = {name: _strings(needed) for name, needed in word.value.items()}
    if not holds:
        return [(("need", k), ("lack", d)) for k, needed in items.items() for d in needed]
    return word.all(
        [(("lack", k),), (("need", k), *(("need", d) for d in needed))]
        for k, needed in items.items()
    )


@keyword("object", "dependentSchemas")
def _dependent_schemas(word: Keyword, holds: bool) -> Alternatives:
    subs = {name: word.sub(part) for name, part in word.value.items()}
    bound = ((k, word.all([_one(("need", k)), word.of(sub, holds)])) for k, sub in subs.items())
    if not holds:
        return word.any(found for _, found in bound)
    return word.all(word.any([_one(("lack", k)), found]) for k, found in bound)


@keyword("object", "minProperties", "maxProperties")
def _property_count(word: Keyword, holds: bool) -> Alternatives:
    return _bound(word, holds, "minp", "maxp")


# Arrays


@keyword("array", "prefixItems")
def _prefix_items(word: Keyword, holds: bool) -> Alternatives:
    subs = [word.sub(part) for part in word.value]
    if not holds:
        return [(("minlen", i + 1), ("item", i, _not(sub))) for i, sub in enumerate(subs)]
    atoms: list[Atom] = [("item", i, sub) for i, sub in enumerate(subs)]
    if word.marks:
        atoms.append(("seen items", len(subs)))
    return _one(*atoms)


@keyword("array", "items")
def _items(word: Keyword, holds: bool) -> Alternatives:
    start, sub = len(word.schema.get("prefixItems", [])), word.sub(word.value)
    if not holds:
        return _one(("some", start, _not(sub), 1))
    atoms: list[Atom] = [("rest", start, sub)]
    if word.marks:
        atoms.append(("seen items", None))
    return _one(*atoms)


@keyword("array", "contains")
def _contains(word: Keyword, holds: bool) -> Alternatives:
    sub = word.sub(word.value)
    least = _count(word.other("minContains")) if "minContains" in word.schema else 1
    most = _count(word.other("maxContains")) if "maxContains" in word.schema else None
    if not holds:
        few = _one(("most", sub, least - 1)) if least else FALSE
        many = _one(("some", 0, sub, most + 1)) if most is not None else FALSE
        return word.any([few, many])
    atoms: list[Atom] = [("some", 0, sub, least)] if least else []
    if most is not None:
        atoms.append(("most", sub, most))
    if word.marks:
        atoms.append(("seen like", sub))
    return _one(*atoms)


@keyword("array", "minItems", "maxItems")
def _item_count(word: Keyword, holds: bool) -> Alternatives:
    return _bound(word, holds, "minlen", "maxlen")


@keyword("array", "uniqueItems")
def _unique_items(word: Keyword, holds: bool) -> Alternatives:
    if not isinstance(word.value, bool):
        raise TypeError(word.value)
    if not word.value:
        return TRUE if holds else FALSE
    return _one(("unique",)) if holds else _one(("not unique",))


def _bound(word: Keyword, holds: bool, least: str, most: str) -> Alternatives:
    """A keyword that begins with min or max, and its opposite."""
    n = _count(word)
    if word.name.startswith("min"):
        return _one((least, n)) if holds else (_one((most, n - 1)) if n else FALSE)
    return _one((most, n)) if holds else _one((least, n + 1))


# Strings


@keyword("string", "minLength", "maxLength")
def _length(word: Keyword, holds: bool) -> Alternatives:
    return _bound(word, holds, "minlen", "maxlen")


@keyword("string", "pattern")
def _pattern(word: Keyword, holds: bool) -> Alternatives:
    if not isinstance(word.value, str):
        raise TypeError(word.value)
    return _one(("pattern", word.value, holds))


@keyword("string", "format")
def _format(word: Keyword, holds: bool) -> Alternatives:
    if not isinstance(word.value, str):
        raise TypeError(word.value)
    if word.formulas.assert_formats:
        if word.value in REFUSED_FORMATS:
            raise word.unsupported(f"format {word.value!r}")
        if word.value in FORMATS:
            matched: Atom = ("pattern", FORMATS[word.value], holds)
            if (longest := LONGEST.get(word.value)) is None:
                return _one(matched)
            short: Atom = ("maxlen", longest) if holds else ("minlen", longest + 1)
            return _one(matched, short) if holds else [(matched,), (short,)]
    return TRUE if holds else FALSE


# Numbers


@keyword("number", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
def _range(word: Keyword, holds: bool) -> Alternatives:
    atoms = {
        "minimum": ("ge", "lt"),
        "exclusiveMinimum": ("gt", "le"),
        "maximum": ("le", "gt"),
        "exclusiveMaximum": ("lt", "ge"),
    }
    return _one((atoms[word.name][not holds], _number(word)))


@keyword("number", "multipleOf")
def _multiple_of(word: Keyword, holds: bool) -> Alternatives:
    if _number(word) <= 0:
        raise ValueError(word.value)
    return _one(("multiple" if holds else "not multiple", word.value))


# Any type


@keyword("any", "type")
def _type(word: Keyword, holds: bool) -> Alternatives:
    names = [word.value] if isinstance(word.value, str) else _strings(word.value)
    if wrong := set(names) - {"null", "boolean", "number", "integer", "string", "array", "object"}:
        raise ValueError(wrong)
    if word.kind in names:
        return TRUE if holds else FALSE
    if word.kind == "number" and "integer" in names:
        return _one(("integer",) if holds else ("not integer",))
    return FALSE if holds else TRUE


@keyword("any", "enum")
def _enum(word: Keyword, holds: bool) -> Alternatives:
    if not isinstance(word.value, list):
        raise TypeError(word.value)
    return _among(word, word.value, holds)


@keyword("any", "const")
def _const(word: Keyword, holds: bool) -> Alternatives:
    return _among(word, [word.value], holds)


def _among(word: Keyword, values: list[Any], holds: bool) -> Alternatives:
    own = [value for value in values if type_of(value) == word.kind]
    if not own:
        return FALSE if holds else TRUE
    if word.kind == "null":
        return TRUE if holds else FALSE
    if word.kind in ("array", "object"):
        parts = [word.of(word.made(_exactly(value)), holds, marks=False) for value in own]
        return word.any(parts) if holds else word.all(parts)
    return _one(("in" if holds else "not in", tuple(own)))


def _exactly(value: Any) -> dict[str, Any]:
    """The schema of an array or an object that equals `value`."""
    if isinstance(value, list):
        items = [{"const": item} for item in value]
        return {"prefixItems": items, "items": False, "minItems": len(items)}
    properties = {key: {"const": item} for key, item in value.items()}
    return {
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@keyword("any", "anyOf")
def _any_of(word: Keyword, holds: bool) -> Alternatives:
    parts = [word.of(word.sub(part), holds) for part in _some(word)]
    if not holds:
        return word.all(parts)
    if word.marks and len(parts) > 1:  # what several branches evaluate counts together
        if len(parts) > MAX_MARKED:
            raise word.unsupported(f"anyOf of more than {MAX_MARKED} with unevaluated parts")
        sizes = range(len(parts), 0, -1)
        return word.any(word.all(some) for n in sizes for some in combinations(parts, n))
    return word.any(parts)


@keyword("any", "oneOf")
def _one_of(word: Keyword, holds: bool) -> Alternatives:
    subs = [word.sub(part) for part in _some(word)]
    none = word.all(word.of(sub, False) for sub in subs) if not holds else FALSE
    if not holds:
        pairs = combinations(subs, 2)
        return word.any([none, *(word.all([word.of(a, True), word.of(b, True)]) for a, b in pairs)])
    return word.any(word.all(word.of(other, other is sub) for other in subs) for sub in subs)


def _some(word: Keyword) -> list[Any]:
    if not isinstance(word.value, list) or not word.value:
        raise TypeError(word.value)
    return word.value


@keyword("any", "not")
def _negation(word: Keyword, holds: bool) -> Alternatives:
    return word.of(word.sub(word.value), not holds, marks=False)


@keyword("any", "if")
def _condition(word: Keyword, holds: bool) -> Alternatives:
    condition = word.sub(word.value)
    then, other = (
        word.of(word.sub(word.schema[key]), holds)
        if key in word.schema
        else (TRUE if holds else FALSE)
        for key in ("then", "else")
    )
    if then == other == TRUE and not word.marks:
        return TRUE
    met = word.all([word.of(condition, True), then]) if then else FALSE
    return word.any(
        [met, word.all([word.of(condition, False, marks=False), other]) if other else FALSE]
    )


# Parts that nothing else evaluates: `Formulas` itself does these, last of all


@keyword("object", "unevaluatedProperties")
@keyword("array", "unevaluatedItems")
def _unevaluated(word: Keyword, _: bool) -> Alternatives:
    raise AssertionError(word.name)


def _not(literal: Literal) -> Literal:
    return literal[0], not literal[1]
