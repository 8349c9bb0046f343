"""`Constraint`: what a generated text must match, as a value that is compiled for a vocabulary."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from llmpy import checks
from llmpy.constraints import gbnf
from llmpy.constraints.lark import literal, slashed
from llmpy.constraints.limits import checked_lark, checked_regex
from llmpy.constraints.vocabulary import byte_vocabulary
from llmpy.errors import ConstraintError

__all__ = ["Constraint", "choices", "grammar", "regex"]

SETTINGS = re.compile(r"^[ \t]*%llguidance[ \t]*(.*)$", re.M)  # of llguidance, in a grammar

MAX_CHOICES = 100_000  # characters of all together


@dataclass(frozen=True, slots=True)
class Constraint:
    """A language that a generated text must match; made by `json_schema`, `regex` and others.

    `lark` is its grammar in llguidance's dialect of Lark, `source` the description that it was made
    from, for messages.
    """

    lark: str
    source: str

    def __repr__(self) -> str:
        shown = self.source if len(self.source) <= 60 else f"{self.source[:57]}..."
        return f"<llmpy.Constraint {shown}>"


def regex(pattern: str) -> Constraint:
    """Return the constraint that the whole text matches a regular expression.

    The syntax is that of Rust's `regex` crate, without anchors, look-around and back references;
    `.` is any character but a line break. Raises ConstraintError for an invalid pattern, or one
    that is too large to compile.
    """
    from llmpy.constraints.compiling import attempt

    checked_regex("regex", checks.text("pattern", pattern))
    escaped = slashed(pattern)
    made = Constraint(f"start: ANSWER\nANSWER: /{escaped}/", f"regex {pattern!r}")
    if isinstance(wrong := attempt(made.lark, byte_vocabulary(), "regex"), str):
        raise ConstraintError(f"{made.source}: {wrong}")
    return made


def grammar(text: str) -> Constraint:
    """Return the constraint that the whole text can be derived by a grammar, from its first rule.

    `text` is in Lark's syntax, beginning with the rule `start`, or in GBNF, that of llama.cpp, with
    a rule `root`. llguidance's documentation describes its dialect of Lark. Tokens without an
    alternative are sampled like all others, unlike those of other constraints. Raises
    ConstraintError for a grammar that is too large; an invalid one raises it when it is used,
    before anything is generated.
    """
    checks.text("text", text)
    lark = text if gbnf.is_lark(text) else gbnf.lark_of(text)
    checked_lark(lark)
    return Constraint(_without_forcing(lark), "grammar")


def _without_forcing(lark: str) -> str:
    """A grammar of which nothing is read ahead.

    In /a+/ /a+/ the first terminal takes all there is, so that nothing but "a" can ever come:
    llguidance would go on for ever.
    """
    settings: dict[str, Any] = {}
    for match in SETTINGS.finditer(lark):
        try:
            settings |= json.loads(match[1])
        except (ValueError, TypeError):
            raise ConstraintError(f"grammar: expected JSON after %llguidance: {match[1]}") from None
    settings["no_forcing"] = True
    return f"%llguidance {json.dumps(settings)}\n" + SETTINGS.sub("", lark)


def choices(texts: Iterable[str]) -> Constraint:
    """Return the constraint that the whole text is one of `texts`, none of which may be empty."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise checks.wrong_type("texts", "a list of strings", texts)
    given = list(dict.fromkeys(checks.text(f"texts: number {i}", t) for i, t in enumerate(texts)))
    if not given or "" in given:
        raise ConstraintError(f"choices: expected texts that are not empty, found {given[:8]!r}")
    if (n := sum(map(len, given))) > MAX_CHOICES:
        raise ConstraintError(f"choices: expected at most {MAX_CHOICES} characters, found {n}")
    return Constraint("start: T\nT: " + " | ".join(map(literal, given)), f"choices {given!r}")
