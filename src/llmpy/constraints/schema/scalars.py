"""Numbers and strings: atoms to symbols of a grammar.

Numbers are written in plain decimals where they have bounds; strings as Python's
`json.dumps(ensure_ascii=False)` writes them, so that each has one form only.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

from llmpy.constraints.lark import literal
from llmpy.constraints.limits import MAX_REPEAT
from llmpy.constraints.schema import ecma
from llmpy.constraints.schema.formula import Atom
from llmpy.constraints.schema.rules import Grammar, Symbol, is_empty
from llmpy.errors import ConstraintError

__all__ = [
    "exact",
    "json_text",
    "number_symbols",
    "string_holds",
    "string_symbols",
    "written",
]

ANY_STRING = f'/"{ecma.CHARACTER}*"/'
DIGITS = "(?:0|[1-9][0-9]{0,308})"
INTEGER = f"/-?{DIGITS}/"
# With an exponent that keeps it below the largest float, and of 308 digits before the point.
EXPONENT = "[eE](?:-[0-9]{1,3}|\\+?(?:[0-2]?[0-9]{1,2}|30[0-7]))"
NUMBER = f"/-?(?:{DIGITS}(?:\\.[0-9]+)?|[0-9](?:\\.[0-9]+)?{EXPONENT})/"
# Numbers that are not whole, of at most 15 digits, so that they are none as floats either.
FRACTIONAL = "/-?(?:{})/".format(
    "|".join(
        ["0\\.[0-9]{0,14}[1-9]"]
        + [f"[1-9][0-9]{{{n - 1}}}\\.[0-9]{{0,{14 - n}}}[1-9]" for n in range(1, 15)]
    )
)
MAX_FORBIDDEN = 50  # numbers
MAX_BOUND = 2**53
MAX_STEP, MAX_DENOMINATOR = 10_000, 10**9  # of a number that others shall be multiples of


def exact(value: float) -> Fraction:
    """Return the value that a number has as it is written in decimals."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def written(value: float) -> str:
    """Return a number as JSON, without a fraction where it is whole."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return repr(value)


def number_holds(value: float, atoms: tuple[Atom, ...]) -> bool:
    """Whether all atoms hold for one number."""
    x = exact(value)
    for kind, *rest in atoms:
        if kind in ("integer", "not integer"):
            holds = (x.denominator == 1) == (kind == "integer")
        elif kind in ("in", "not in"):
            holds = (x in map(exact, rest[0])) == (kind == "in")
        elif kind in ("multiple", "not multiple"):
            holds = ((x / exact(rest[0])).denominator == 1) == (kind == "multiple")
        else:
            y = exact(rest[0])
            holds = {"ge": x >= y, "gt": x > y, "le": x <= y, "lt": x < y}[kind]
        if not holds:
            return False
    return True


def number_symbols(grammar: Grammar, atoms: tuple[Atom, ...]) -> list[tuple[Symbol, ...]]:
    """Return the alternatives of a number for which all atoms hold."""
    if listed := [atom for atom in atoms if atom[0] == "in"]:
        texts = {written(v): None for v in listed[0][1] if number_holds(v, atoms)}
        return [(grammar.terminal(" | ".join(map(literal, texts))),)] if texts else []
    if any(atom[0] == "not multiple" for atom in atoms):
        raise ConstraintError("multipleOf within not, oneOf or if is not supported")
    if any(atom[0] == "not integer" for atom in atoms):
        if any(atom[0] not in ("not integer", "integer") for atom in atoms):
            raise ConstraintError("numbers that are not whole, with other limits: not supported")
        return [] if ("integer",) in atoms else [(grammar.terminal(FRACTIONAL),)]
    whole = ("integer",) in atoms
    low, high = _bounds(atoms, whole)
    steps = [exact(atom[1]) for atom in atoms if atom[0] == "multiple"]
    forbidden = sorted({exact(v) for atom in atoms if atom[0] == "not in" for v in atom[1]})
    if whole:
        forbidden = [v for v in forbidden if v.denominator == 1]
    if len(forbidden) > MAX_FORBIDDEN:
        raise ConstraintError(f"not, for more than {MAX_FORBIDDEN} numbers, is not supported")
    found = []
    for part_low, part_high in _parts(low, high, forbidden, whole):
        found += _interval(grammar, part_low, part_high, steps, whole)
    return found


Bound = tuple[Fraction, bool]  # where, and whether the value itself is allowed


def _bounds(atoms: tuple[Atom, ...], whole: bool) -> tuple[Bound | None, Bound | None]:
    lows = [(exact(a[1]), a[0] == "ge") for a in atoms if a[0] in ("ge", "gt")]
    highs = [(exact(a[1]), a[0] == "le") for a in atoms if a[0] in ("le", "lt")]
    low = max(lows, key=lambda b: (b[0], not b[1]), default=None)
    high = min(highs, key=lambda b: (b[0], b[1]), default=None)
    if whole and low is not None:
        n = math.ceil(low[0])
        low = Fraction(n + (n == low[0] and not low[1])), True
    if whole and high is not None:
        n = math.floor(high[0])
        high = Fraction(n - (n == high[0] and not high[1])), True
    return low, high


def _parts(
    low: Bound | None, high: Bound | None, forbidden: list[Fraction], whole: bool
) -> list[tuple[Bound | None, Bound | None]]:
    """The intervals that are left between numbers that are forbidden."""
    found = []
    for value in forbidden:
        below: Bound = (value - 1, True) if whole else (value, False)
        found.append((low, below if high is None or below[0] < high[0] else high))
        above: Bound = (value + 1, True) if whole else (value, False)
        low = above if low is None or above[0] >= low[0] else low
    return [*found, (low, high)]


def _interval(
    grammar: Grammar, low: Bound | None, high: Bound | None, steps: list[Fraction], whole: bool
) -> list[tuple[Symbol, ...]]:
    if any(bound is not None and abs(bound[0]) > MAX_BOUND for bound in (low, high)):
        raise ConstraintError("minimum and maximum beyond 2**53 are not supported")
    if low is not None and high is not None:
        if low[0] > high[0] or (low[0] == high[0] and not (low[1] and high[1])):
            return []
        if low[0] == high[0]:
            value = low[0]
            if any((value / step).denominator != 1 for step in steps):
                return []
            return [(("text", _decimal(value)),)]
    if not steps and low is None and high is None:
        return [(grammar.terminal(INTEGER if whole else NUMBER),)]
    schema: dict[str, Any] = {"type": "integer" if whole else "number"}
    if low is not None:
        schema["minimum"] = low[0] if low[1] else low[0] + _gap(low[0])
    if high is not None:
        schema["maximum"] = high[0] if high[1] else high[0] - _gap(high[0])
    if not schema.get("minimum", -MAX_BOUND) <= schema.get("maximum", MAX_BOUND):
        return []
    if steps:
        step = steps[0]
        for other in steps[1:]:
            step = _common(step, other)
        step = _common(step, Fraction(1)) if whole else step
        if step.numerator > MAX_STEP or step.denominator > MAX_DENOMINATOR:
            raise ConstraintError(f"multipleOf {float(step)!r} has more digits than are supported")
        if not _has_multiple(low, high, step):
            return []
        schema["multipleOf"] = step
    items = ", ".join(
        f"{json.dumps(k)}: {json.dumps(v) if isinstance(v, str) else _decimal(v)}"
        for k, v in schema.items()
    )
    return [(grammar.json(f"{{{items}}}"),)]


def _gap(value: Fraction) -> Fraction:
    """A distance from a bound at which any decimal is another float than the bound."""
    return Fraction(10) ** (len(str(int(abs(value)))) - 14)


def _has_multiple(low: Bound | None, high: Bound | None, step: Fraction) -> bool:
    if low is None or high is None:
        return True
    first = math.ceil(low[0] / step) * step
    if first == low[0] and not low[1]:
        first += step
    return first < high[0] or (first == high[0] and high[1])


def _common(a: Fraction, b: Fraction) -> Fraction:
    """The least common multiple."""
    return Fraction(math.lcm(a.numerator * b.denominator, b.numerator * a.denominator)) / (
        a.denominator * b.denominator
    )


def _decimal(value: Fraction) -> str:
    """A fraction whose denominator has factors 2 and 5 only, in plain decimals."""
    if value.denominator == 1:
        return str(value.numerator)
    digits, rest = 0, value.denominator
    for factor in (2, 5):
        n = 0
        while rest % factor == 0:
            rest //= factor
            n += 1
        digits = max(digits, n)
    if rest != 1 or digits > 30:
        raise ConstraintError(f"the number {float(value)!r} has too many digits")
    scaled = abs(value.numerator) * 10**digits // value.denominator
    text = str(scaled).rjust(digits + 1, "0")
    return f"{'-' if value < 0 else ''}{text[:-digits]}.{text[-digits:]}"


# Strings


def string_holds(text: str, atoms: tuple[Atom, ...]) -> bool:
    """Whether all atoms hold for one string."""
    for kind, *rest in atoms:
        if kind in ("in", "not in"):
            holds = (text in rest[0]) == (kind == "in")
        elif kind == "minlen":
            holds = len(text) >= rest[0]
        elif kind == "maxlen":
            holds = len(text) <= rest[0]
        else:
            holds = ecma.matches(ecma.parsed(rest[0]), text) == rest[1]
        if not holds:
            return False
    return True


def string_symbols(grammar: Grammar, atoms: tuple[Atom, ...]) -> list[tuple[Symbol, ...]]:
    """Return the alternatives of a string for which all atoms hold."""
    if listed := [atom for atom in atoms if atom[0] == "in"]:
        texts = [json_text(v) for v in listed[0][1] if string_holds(v, atoms)]
        return (
            [(grammar.terminal(" | ".join(map(literal, dict.fromkeys(texts)))),)] if texts else []
        )
    least = max((atom[1] for atom in atoms if atom[0] == "minlen"), default=0)
    most = min((atom[1] for atom in atoms if atom[0] == "maxlen"), default=None)
    if most is not None and least > most:
        return []
    if max(least, most or 0) > MAX_REPEAT:
        raise ConstraintError(f"a length of more than {MAX_REPEAT} is not supported")
    patterns = dict.fromkeys(atom[1:] for atom in atoms if atom[0] == "pattern")
    parts = [f"/{ecma.quoted(ecma.parsed(p))}/" for p, sign in patterns if sign]
    if least or most is not None:
        bounds = f"{{{least},{'' if most is None else most}}}"
        parts.append(f'/"{ecma.CHARACTER}{bounds}"/')
    elif not parts:
        parts.append(ANY_STRING)
    parts += [f"~(/{ecma.quoted(ecma.parsed(p))}/)" for p, sign in patterns if not sign]
    values = dict.fromkeys(v for atom in atoms if atom[0] == "not in" for v in atom[1])
    if values:
        parts.append(f"~({' | '.join(literal(json_text(v)) for v in values)})")
    expression = " & ".join(parts)
    if patterns and is_empty(expression):
        return []
    return [(grammar.terminal(expression),)]


def json_text(text: str) -> str:
    """Return a string as JSON, in the one form that a grammar has for it."""
    return json.dumps(text, ensure_ascii=False)
