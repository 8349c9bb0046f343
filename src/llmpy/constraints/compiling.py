"""From a constraint to its state for a model: compiled in a thread that nobody waits for too long.

A compiled constraint is kept with its tokenizer, and copied for each use.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from llmpy.constraints.constraint import Constraint
from llmpy.constraints.state import ConstraintState
from llmpy.constraints.types import constraint_of
from llmpy.constraints.vocabulary import token_vocabulary
from llmpy.errors import ConstraintError

if TYPE_CHECKING:
    from llmpy.tokenizer import Tokenizer

__all__ = ["attempt", "begin", "constraint_state"]

SECONDS = 0.9  # that compiling a constraint may take
STACK = 64 << 20  # bytes: llguidance recurses about 4 kB for each of at most MAX_RULES rules
MOST_AT_ONCE = 4  # constraints
KEPT = 32  # compiled constraints of a tokenizer
LIMITS = {
    "max_items_in_row": 2000,
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 1_000_000,
    "step_max_items": 100_000,
    "max_lexer_states": 20_000,  # of 1 to 2 kB
    "max_grammar_size": 200_000,
    "precompute_large_lexemes": False,  # which has no limit
    "verbose_errors": False,
}

_MADE: WeakKeyDictionary[Tokenizer, OrderedDict[str, Any]] = WeakKeyDictionary()
_LOCK = threading.Lock()
_RUNNING = threading.Semaphore(MOST_AT_ONCE)


def begin(
    constraint: Constraint, tokenizer: Tokenizer, *, recording: bool = False
) -> ConstraintState:
    """Return the state of a text that has not begun.

    Raises ConstraintError for a constraint with mistakes, one that no text matches, and one that
    takes too long to compile.
    """
    with _LOCK:
        made = _MADE.setdefault(tokenizer, OrderedDict())
        matcher = made.get(constraint.lark)
    if matcher is None:
        matcher = _compiled(constraint, tokenizer)
        with _LOCK:
            made[constraint.lark] = matcher
            while len(made) > KEPT:
                made.popitem(last=False)
    with _LOCK:
        own = matcher.deep_copy()
    return ConstraintState(own, tokenizer, constraint, recording=recording)


def constraint_state(value: Any, tokenizer: Tokenizer) -> ConstraintState:
    """Return the state of what `constrain=` was given: a constraint, a schema, a type, a state."""
    if isinstance(value, ConstraintState):
        return value
    return begin(constraint_of(value), tokenizer)


def _compiled(constraint: Constraint, tokenizer: Tokenizer) -> Any:
    result = attempt(constraint.lark, token_vocabulary(tokenizer), _name(constraint))
    if isinstance(result, str):
        raise ConstraintError(f"{_name(constraint)}: {result}")
    return result


def attempt(lark: str, vocabulary: Any, what: str) -> Any:
    """Return a matcher that has computed its first mask, or what is wrong.

    Raises ConstraintError, about `what`, where that takes too long; the thread in which it is done
    goes on until limits of its own end it.
    """
    found: list[Any] = []
    if not _RUNNING.acquire(timeout=SECONDS):
        raise ConstraintError(f"{what}: other constraints are still being compiled; try again")

    def compile_it() -> None:
        try:
            found.append(_attempt(lark, vocabulary))
        finally:
            _RUNNING.release()

    thread = threading.Thread(target=compile_it, name="llmpy-compile", daemon=True)
    with _LOCK:
        before = threading.stack_size(STACK)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join(SECONDS)
    if not found:
        raise ConstraintError(f"{what}: takes more than {SECONDS} s to compile")
    return found[0]


def _attempt(lark: str, vocabulary: Any) -> Any:
    try:
        from llguidance import LLMatcher, LLParserLimits

        limits = LLParserLimits(**LIMITS)  # type: ignore[arg-type]
        compiled = LLMatcher.grammar_from_lark(lark)
        matcher = LLMatcher(vocabulary, compiled, log_level=0, limits=limits)
        if matcher.is_error():
            return _reason(matcher.get_error())
        matcher.compute_bitmask()
        if matcher.is_error() or (matcher.is_stopped() and not matcher.is_accepting()):
            message = _reason(matcher.get_error())
            return "no text matches it" if "NoExtension" in message or not message else message
        matcher.reset()
    except BaseException as error:  # a panic of native code is no Exception
        return f"cannot be compiled ({type(error).__name__}: {error})"
    return matcher


def _reason(message: str) -> str:
    return message.strip().partition("\n")[0][:300]


def _name(constraint: Constraint) -> str:
    text = constraint.source
    return text if len(text) <= 80 else f"{text[:77]}..."
