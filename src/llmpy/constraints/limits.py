"""Limits on the cost of a regular expression or a grammar, checked before native code gets it.

llguidance has limits of its own on the work it does, but none on the depth of its recursion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmpy.errors import ConstraintError

__all__ = [
    "MAX_REPEAT",
    "MAX_RULES",
    "check_nesting",
    "check_size",
    "checked_lark",
    "checked_regex",
]

MAX_SIZE = 512 * 1024  # characters of a grammar
MAX_REGEX = 64 * 1024  # characters of a regular expression
MAX_DEPTH = 100  # of brackets in one another
MAX_REPEAT = 20_000  # times, all bounds of repetitions in one another multiplied
MAX_RULES = 4000
MAX_STRING = 10_000  # characters of a string or regular expression in a grammar
MAX_TERMINAL = 100_000
COUNT = re.compile(r"\{\s*(\d*)\s*(,?)\s*(\d*)\s*\}")
TERMINAL = re.compile(r"^[ \t]*([A-Z_][A-Z0-9_]*)[^:\n]*:((?:[^\n]|\n[ \t]*\|)*)", re.M)
NAME = re.compile(r"\b[A-Z_][A-Z0-9_]*\b")
OPEN, CLOSE = "([{", ")]}"
PIECES = re.compile(  # of a Lark grammar: what brackets are part of a text
    r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/(?![/*])(?P<regex>(?:[^/\\\n]|\\.)+)/|#[^\n]*'
)


def check_size(what: str, text: str, most: int = MAX_SIZE) -> None:
    """Raise ConstraintError for a text that is too long."""
    if len(text) > most:
        raise ConstraintError(f"{what}: expected at most {most} characters, found {len(text)}")


def check_nesting(what: str, text: str) -> None:
    """Raise ConstraintError for more brackets in one another than recursion can take."""
    depth = 0
    for c in text:
        if c in OPEN:
            depth += 1
            if depth > MAX_DEPTH:
                raise ConstraintError(f"{what}: expected at most {MAX_DEPTH} nested brackets")
        elif c in CLOSE:
            depth = max(0, depth - 1)


def checked_regex(what: str, pattern: str) -> str:
    """Return a regular expression whose size, nesting and repetitions are within the limits."""
    check_size(what, pattern, MAX_REGEX)
    try:
        pattern.encode()
    except UnicodeEncodeError:
        raise ConstraintError(f"{what}: expected text, found a lone surrogate") from None
    _check_repeats(what, pattern)
    return pattern


def checked_lark(text: str) -> str:
    """Return a grammar in Lark's syntax whose sizes are within the limits."""
    check_size("grammar", text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConstraintError("grammar: expected text, found a lone surrogate") from None
    for match in PIECES.finditer(text):
        if match["regex"]:
            checked_regex("grammar", match["regex"])
        check_size("grammar: a string", match[0], MAX_STRING)
    rest = PIECES.sub(" x ", text)
    if rest.count(":") > MAX_RULES:
        raise ConstraintError(f"grammar: expected at most {MAX_RULES} rules")
    check_nesting("grammar", rest)
    _check_repeats("grammar", rest)
    _check_terminals(rest)
    return text


def _check_terminals(text: str) -> None:
    """Raise ConstraintError for terminals that are too large once those in them are written out."""
    bodies = {m[1]: m[2] for m in TERMINAL.finditer(text)}
    sizes: dict[str, int] = {}
    for name in bodies:
        waiting = [name]
        while waiting:
            current = waiting[-1]
            used = [u for u in NAME.findall(bodies[current]) if u in bodies and u != current]
            missing = [u for u in used if u not in sizes]
            if missing and len(waiting) <= len(bodies):
                waiting.append(missing[0])
                continue
            factor = 1
            for match in COUNT.finditer(bodies[current]):
                factor *= max(1, *(int(n or 0) for n in match.group(1, 3)))
            sizes[current] = factor * (1 + sum(sizes.get(u, 0) for u in used))
            if sizes[current] > MAX_TERMINAL:
                raise ConstraintError(
                    f"grammar: the terminal {current} is too large once all in it is written out"
                )
            waiting.pop()


def _check_repeats(what: str, pattern: str) -> None:
    """Raise ConstraintError where repetitions in one another multiply to too much."""
    costs = [1]  # of each open group: the largest product within it
    last = 1  # of what a repetition would apply to
    for c, count in _parts(what, pattern):
        if c == "(":
            costs.append(1)
        elif c == ")" and len(costs) > 1:
            last = costs.pop()
        elif c == "{":
            last *= max(1, count)
        else:
            last = 1
        if last > MAX_REPEAT:
            raise ConstraintError(
                f"{what}: expected at most {MAX_REPEAT} repetitions, found {last} or more"
            )
        if len(costs) > MAX_DEPTH:
            raise ConstraintError(f"{what}: expected at most {MAX_DEPTH} nested groups")
        costs[-1] = max(costs[-1], last)


def _parts(what: str, pattern: str) -> Iterator[tuple[str, int]]:
    """Groups, repetitions with their larger bound, and anything else that can be repeated."""
    at, in_class = 0, 0
    while at < len(pattern):
        c = pattern[at]
        if c == "\\":
            at += 2
            yield "a", 0
            continue
        if c == "[":
            in_class += 1
            if in_class > MAX_DEPTH:
                raise ConstraintError(f"{what}: expected at most {MAX_DEPTH} nested brackets")
        elif c == "]":
            in_class = max(0, in_class - 1)
        elif not in_class and (match := COUNT.match(pattern, at)):
            bounds = [bound for bound in match.group(1, 3) if bound]
            if max(map(len, bounds), default=0) > 9:
                raise ConstraintError(f"{what}: expected at most {MAX_REPEAT} repetitions")
            yield "{", max(map(int, bounds), default=0)
            at = match.end()
            continue
        elif not in_class:
            yield (c if c in "()" else "a"), 0
        at += 1
