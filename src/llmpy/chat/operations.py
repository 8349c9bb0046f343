"""Operators, methods and filters of templates whose result may be far larger than what they get:
each is counted before it is made.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from functools import wraps
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext, Undefined
from jinja2.utils import Cycler

from llmpy.chat.limits import CONTAINERS, CURRENT, Budget

__all__ = ["OPERATIONS", "checked_call", "counted", "from_json", "key", "shown", "summed", "tojson"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


METHODS: dict[type, frozenset[str]] = {
    str: _words(
        "strip lstrip rstrip split rsplit splitlines startswith endswith replace lower upper title "
        "capitalize casefold swapcase join format find rfind index rindex count isdigit isdecimal "
        "isalpha isalnum isspace isupper islower isnumeric isidentifier istitle isascii "
        "isprintable removeprefix removesuffix partition rpartition center ljust rjust zfill "
        "expandtabs"
    ),
    dict: _words("get items keys values copy"),
    list: _words("index count copy"),
    tuple: _words("index count"),
    float: _words("is_integer"),
    int: _words("bit_length is_integer"),
    LoopContext: _words("cycle changed"),
    Cycler: _words("next reset"),
}
PADDING = _words("center ljust rjust zfill")
STRIPPING = _words("strip lstrip rstrip do_trim")
BACKWARDS = _words("rfind rindex rsplit rpartition")  # each place is compared with all of a text
AT_ONCE = 16  # characters that are compared in the time of one that is made
WRITING = _words(  # filters and tests that write whatever they get
    "do_capitalize do_center soft_str do_title do_trim do_truncate do_upper do_lower do_wordcount "
    "do_replace do_indent do_format escape do_forceescape do_mark_safe do_urlencode do_wordwrap "
    "test_lower test_upper"
)
COMPARING = _words("do_sort do_groupby do_min do_max do_unique")
NUMBERS = re.compile(r"\d+")
NESTED = re.compile(r"\{[^{}]*\{|\{[^{}:!]*[.\[]")  # fields in fields, and parts of a value
MAX_WIDTH = 64
MAX_RANGE = 100_000


def checked_call(
    function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The arguments for a call that a template makes, once its cost is counted.

    SecurityError for methods that templates do not need, and for widths without sense.
    """
    budget = CURRENT.get()
    budget.step()
    method = getattr(function, "__wrapped__", function)  # jinja2 wraps str.format
    owner = getattr(method, "__self__", None)
    for kind, allowed in METHODS.items():
        if isinstance(owner, kind):
            if function.__name__ not in allowed:
                raise SecurityError(f"a template may not call {kind.__name__}.{function.__name__}")
            return _checked_method(budget, owner, function.__name__, args, kwargs)
    if owner is not None and not getattr(type(owner), "for_templates", False):
        raise SecurityError(f"a template may not call methods of {type(owner).__name__}")
    if function is range and len(range(*args)) > MAX_RANGE:
        raise SecurityError(f"range: expected at most {MAX_RANGE} numbers")
    if isinstance(function, LoopContext) and args:
        return budget.each(args[0]), *args[1:]
    return args


def _checked_method(
    budget: Budget, owner: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:
    given = (*args, *kwargs.values())
    for value in (owner, *given):
        budget.compared(value)
    if not isinstance(owner, str):
        return args
    budget.step(len(owner))
    if name == "replace" and len(args) >= 2:
        _count_replace(budget, owner, args[0], args[1])
    elif name == "join" and args:
        items = args[0] if isinstance(args[0], Sized) else list(args[0])
        budget.charge(len(owner) * len(items))
        return (items,)
    elif name == "format":
        _count_format(budget, owner, "{", given)
    elif name in ("split", "rsplit", "splitlines"):
        budget.charge(len(owner))
    elif name in PADDING or name == "expandtabs":
        n = owner.count("\t") if name == "expandtabs" else 1
        budget.charge(n * max((v for v in given if isinstance(v, int)), default=8))
    _count_search(budget, owner, name, given)
    return args


def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """One of jinja2's filters or tests, with its cost counted."""
    takes_context = hasattr(function, "jinja_pass_arg")

    @wraps(function)  # jinja2's marks too: what it passes first stays as it is
    def call(*args: Any, **kwargs: Any) -> Any:
        budget = CURRENT.get()  # none while jinja2 compiles, which then folds no constants
        first, values = args[:takes_context], args[takes_context:]
        if function.__name__ in COMPARING and isinstance(values[0], Iterator):
            values = list(values[0]), *values[1:]
        budget.step(sum(len(value) for value in values if isinstance(value, str)))
        for value in (*values, *kwargs.values()):
            budget.compared(value)
        values = _checked_filter(budget, function.__name__, values, kwargs)
        return budget.made(function(*first, *values, **kwargs))

    return call


def _checked_filter(
    budget: Budget, name: str, values: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:
    given = (*values[1:], *kwargs.values())
    numbers = [value for value in given if isinstance(value, int)]
    if name in WRITING and isinstance(values[0], CONTAINERS):
        budget.charge(budget.size(values[0]))
    if name == "do_join":
        items = values[0] if isinstance(values[0], CONTAINERS) else list(values[0])
        budget.charge(budget.size(items) + len(items) * sum(map(budget.size, given)))
        return items, *values[1:]
    if name == "do_replace" and len(given) >= 2:
        _count_replace(budget, str(values[0]), given[0], given[1])
    elif name == "do_list" and isinstance(values[0], str):
        budget.charge(8 * len(values[0]))
    elif name == "do_indent":
        space = max((len(v) if isinstance(v, str) else int(v) for v in given), default=4)
        if space > MAX_WIDTH:
            raise SecurityError(f"indent: expected at most {MAX_WIDTH} characters")
        text = str(values[0])
        budget.charge((space + 2) * (text.count("\n") + 1) + len(text))
    elif name == "do_format":
        _count_format(budget, str(values[0]), "%", given)
    elif name == "do_round" and any(abs(n) > MAX_WIDTH for n in numbers):
        raise SecurityError(f"round: expected a precision of at most {MAX_WIDTH}")
    elif name in ("do_center", "do_batch", "do_slice"):
        budget.charge(4 * max(numbers, default=80))
    elif name == "do_wordwrap":
        budget.charge(32 * budget.size(values[0]))
    elif name == "do_trim":
        _count_search(budget, str(values[0]), name, given)
    return values


def _count_search(budget: Budget, text: str, name: str, given: Iterable[Any]) -> None:
    """Count a search as the product of two lengths."""
    if name in STRIPPING or name in BACKWARDS:
        longest = max((len(v) for v in given if isinstance(v, str)), default=1)
        budget.charge(len(text) * longest // AT_ONCE)


def _count_replace(budget: Budget, text: Any, old: Any, new: Any) -> None:
    if isinstance(text, str) and isinstance(old, str) and isinstance(new, str):
        budget.charge(len(text) + text.count(old) * len(new))


def _count_format(budget: Budget, text: str, sign: str, args: Iterable[Any]) -> None:
    if any(len(n) > 2 for n in NUMBERS.findall(text)) or "*" in text:
        raise SecurityError("a template may not format to widths of 100 and more")
    if sign == "{" and NESTED.search(text.replace("{{", "").replace("}}", "")):
        raise SecurityError("a template may format whole values only, with widths as they stand")
    longest = max((budget.size(value) for value in args), default=0)
    budget.charge(text.count(sign) * (100 + longest) + len(text))


def shown(value: Any) -> Any:
    """A value that is about to be written."""
    if isinstance(value, CONTAINERS) and (budget := CURRENT.get(None)) is not None:
        budget.charge(budget.size(value))
    return value


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """The filter as transformers has it: nothing is escaped for HTML."""
    budget = CURRENT.get()
    budget.step()
    if isinstance(value, Undefined):
        raise TypeError("an undefined value cannot be written as JSON")
    space = len(indent) if isinstance(indent, str) else int(indent or 0)
    if space > MAX_WIDTH:
        raise SecurityError(f"tojson: expected an indent of at most {MAX_WIDTH}")
    size, signs = budget.size(value), sum(map(len, separators or ()))
    n_items = size // 4 + 1  # at most
    lines = 0 if indent is None else n_items * (1 + max(space, 0) * budget.depth(value))
    budget.charge(size * (6 if ensure_ascii else 1) + n_items * signs + lines)
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def from_json(text: str) -> Any:
    """Return the value of a text in JSON."""
    budget = CURRENT.get()
    budget.charge(len(text))
    return budget.made(json.loads(text))


def summed(environment: Any, iterable: Iterable[Any], attribute: Any = None, start: Any = 0) -> Any:
    """The filter `sum`; lists too, each sum of which is counted."""
    for item in CURRENT.get().each(iterable):
        value = item
        for name in () if attribute is None else str(attribute).split("."):
            value = environment.getitem(value, int(name) if name.isdigit() else name)
        start = _add(start, value)
    return start


def _each(iterable: Any) -> Iterator[Any]:
    return CURRENT.get().each(iterable)


def _concat(values: list[Any]) -> str:
    budget = CURRENT.get()
    budget.step()
    budget.charge(sum(map(budget.size, values)))
    return "".join(map(str, values))


def _made(value: Any) -> Any:
    budget = CURRENT.get()
    budget.step()
    return budget.made(value)


def key(value: Any) -> Any:
    """A key of a dict."""
    if isinstance(value, CONTAINERS):
        raise SecurityError("a template's dict may not have containers as keys")
    return value


def _compared(value: Any) -> Any:
    return CURRENT.get().compared(value)


def _add(left: Any, right: Any) -> Any:
    budget = CURRENT.get()
    budget.step()
    for value in (left, right):
        if isinstance(value, str):
            budget.charge(len(value))
    return budget.made(left + right)


def _multiply(left: Any, right: Any) -> Any:
    budget = CURRENT.get()
    budget.step()
    for value, times in ((left, right), (right, left)):
        if isinstance(value, str | list | tuple) and isinstance(times, int):
            budget.charge(8 * len(value) * max(times, 0))
    return budget.made(left * right)


def _modulo(left: Any, right: Any) -> Any:
    budget = CURRENT.get()
    budget.step()
    if isinstance(left, str):
        _count_format(budget, left, "%", right if isinstance(right, tuple) else (right,))
    return budget.made(left % right)


def _power(left: Any, right: Any) -> Any:
    budget = CURRENT.get()
    budget.step()
    if isinstance(right, int) and abs(right) > MAX_WIDTH:
        raise SecurityError(f"a template may not raise to powers above {MAX_WIDTH}")
    return budget.made(left**right)


def _plain(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compute(left: Any, right: Any) -> Any:
        budget = CURRENT.get()
        budget.step()
        return budget.made(function(left, right))

    return compute


# Filters that the rewritten template calls; jinja2 knows the operators by these signs.
OPERATIONS: dict[str, Callable[..., Any]] = {
    "each": _each,
    "concat": _concat,
    "made": _made,
    "key": key,
    "compared": _compared,
    "+": _add,
    "*": _multiply,
    "%": _modulo,
    "**": _power,
    "-": _plain(operator.sub),
    "/": _plain(operator.truediv),
    "//": _plain(operator.floordiv),
}
