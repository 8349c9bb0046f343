"""Templates of model files, run as untrusted code: no attribute of Python's own, no file, and
bounded steps, memory and time.

The environment is that of transformers (jinja2's immutable sandbox with the same globals). Every
loop, operation, call and filter of a template is rewritten so that it counts its cost beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from llmpy.chat import operations
from llmpy.chat.limits import CONTAINERS, CURRENT, Budget
from llmpy.errors import TemplateError

__all__ = ["Program"]

MAX_SOURCE = 200_000  # characters; the longest of today's models have 20,000
MAX_WORDS = 20_000  # tokens of Jinja, each of which may take kilobytes to compile; they have 4,000
MAX_MESSAGE = 500  # characters of an error
OURS = "\0"  # begins the names of our filters: no template can write them
FILTERS = (
    "abs batch capitalize center count d default dictsort e escape filesizeformat first float "
    "forceescape format groupby indent int items join last length list lower map max min reject "
    "rejectattr replace reverse round safe select selectattr slice sort string title trim truncate "
    "unique upper urlencode wordcount wordwrap"
)
ITS_OWN = ("_loop_vars", "_block_vars")  # arguments that jinja2 adds to calls
ENOUGH = (SyntaxError, RecursionError, MemoryError, ValueError, OverflowError)


class Program:
    """A compiled template.

    `variables` are the names that it reads from outside, `literals` all text that it can write
    itself. TemplateError for a template that cannot be compiled, with its line.
    """

    def __init__(self, source: str) -> None:
        if len(source) > MAX_SOURCE:
            found = f"{len(source)} characters"
            raise TemplateError(f"chat template: expected at most {MAX_SOURCE}, found {found}")
        try:
            environment = _environment()
            _check_words(environment, source)
            tree = environment.parse(source)
            self.literals = "\0".join(_literals(tree))
            tree = _Counted().visit(tree)  # before jinja2 sees it again, and computes its constants
            self.variables = frozenset(meta.find_undeclared_variables(tree))
            self._template = environment.from_string(tree)
        except jinja2.TemplateSyntaxError as error:
            what = _short(error.message)
            raise TemplateError(f"chat template, line {error.lineno}: {what}") from None
        except ENOUGH as error:
            nested = isinstance(error, RecursionError | MemoryError)
            why = "it is nested too deeply" if nested else _short(error)
            raise TemplateError(f"the chat template cannot be compiled: {why}") from None

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text for these variables: plain data (str, numbers, bool, None, list, dict).

        Raises TemplateError for whatever the template raises, and for a limit that it passes.
        """
        token = None
        try:
            budget = Budget(dict(variables))
            token = CURRENT.set(budget)
            text = _concat(self._template.generate(variables), budget.most_output)
            text.encode()
            return text
        except TemplateError:
            raise
        except jinja2.TemplateError as error:
            raise TemplateError(f"the chat template refuses: {_short(error.message)}") from None
        except UnicodeEncodeError:
            raise TemplateError(
                "the chat template writes a lone surrogate, which is no character"
            ) from None
        except RecursionError:
            raise TemplateError(
                "the chat template, or what it gets, is nested too deeply"
            ) from None
        except Exception as error:  # whatever its Python raises: TypeError, KeyError, ...
            what = _short(f"{type(error).__name__}: {error}")
            raise TemplateError(f"the chat template fails with {what}") from None
        finally:
            if token is not None:
                CURRENT.reset(token)


def _check_words(environment: jinja2.Environment, source: str) -> None:
    for n, _ in enumerate(environment.lexer.tokeniter(source, None)):
        if n >= MAX_WORDS:
            raise TemplateError(f"chat template: expected at most {MAX_WORDS} tokens of Jinja")


def _short(message: object) -> str:
    text = str(message)
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + " ..."


class _Counted(NodeTransformer):
    """Puts a filter of ours in the place of everything that may cost more than a step."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.For):
            node.iter = _filter("each", node.iter)
        elif isinstance(node, nodes.Concat):
            return _filter("concat", nodes.List(node.nodes))
        elif isinstance(node, nodes.BinExpr) and not isinstance(node, nodes.And | nodes.Or):
            return _filter(node.operator, node.left, node.right)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            return _filter("made", node)
        elif isinstance(node, nodes.Pair):
            node.key = _filter("key", node.key)
        elif isinstance(node, nodes.List | nodes.Tuple | nodes.Dict):
            if getattr(node, "ctx", "load") == "load":
                return _filter("made", node)
        elif isinstance(node, nodes.Compare):
            node.expr = _compared(node.expr)
            for operand in node.ops:
                operand.expr = _compared(operand.expr)
        return node


def _compared(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _filter("compared", node)


def _filter(name: str, value: nodes.Node, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(value, OURS + name, list(arguments), [], None, None, lineno=value.lineno)


def _literals(tree: nodes.Template) -> Iterable[str]:
    yield from (data.data for data in tree.find_all(nodes.TemplateData))
    values = (constant.value for constant in tree.find_all(nodes.Const))
    yield from (value for value in values if isinstance(value, str))


class _Generation(Extension):
    """`{% generation %}` marks what the assistant has written; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 - the form that jinja2 asks for

    def parse(self, parser: Any) -> Any:
        """Take the body as it is."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class _Namespace(Namespace):
    """As transformers has it: without attributes that begin with an underscore."""

    def __init__(*arguments: Any, **attributes: Any) -> None:
        self, *rest = arguments
        values = _Dict()(*rest, **attributes)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        budget = CURRENT.get()
        budget.charge(sum(budget.size(value) for value in self.__attrs.values()))
        return super().__repr__()


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace may not have the attribute {name!r}")


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, which also counts calls and the text of blocks."""

    concat = staticmethod(lambda parts: _concat(parts))

    def call(
        __self,  # noqa: N805 - as in jinja2, so that a template may name an argument `self`
        __context: Context,
        __obj: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Call a function, macro or method, and count what it makes."""
        given = {name: value for name, value in kwargs.items() if name not in ITS_OWN}
        args = operations.checked_call(__obj, args, given)
        return CURRENT.get().made(super().call(__context, __obj, *args, **kwargs))

    def getitem(self, obj: Any, argument: Any) -> Any:
        """As jinja2; a container is no key, for hashing it may take forever."""
        if isinstance(argument, CONTAINERS):
            raise SecurityError("a container may not be used as a key")
        CURRENT.get().step()
        return super().getitem(obj, argument)


def _concat(parts: Iterable[str], most: float = float("inf")) -> str:
    """The parts joined, once there is room for them."""
    found, budget = [], CURRENT.get()
    for part in parts:
        budget.charge(len(part))
        most -= len(part)
        if most < 0:
            raise TemplateError("the chat template writes far more than what it gets")
        found.append(part)
    return "".join(found)


def _environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, loopcontrols],
        finalize=operations.shown,
        cache_size=0,
    )
    usual: dict[str, Any] = environment.filters
    environment.filters = {name: operations.counted(usual[name]) for name in FILTERS.split()}
    environment.filters |= {"tojson": operations.tojson, "from_json": operations.from_json}
    environment.filters["sum"] = jinja2.pass_environment(operations.summed)
    environment.filters |= {OURS + name: f for name, f in operations.OPERATIONS.items()}
    tests: dict[str, Any] = environment.tests
    environment.tests = {name: operations.counted(test) for name, test in tests.items()}
    environment.globals = {
        "range": range,
        "dict": _Dict(),
        "namespace": _Namespace,
        "cycler": Cycler,
        "joiner": Joiner,
        "raise_exception": _raise,
        "strftime_now": _strftime_now,
    }
    return environment


class _Dict:
    """The `dict` of templates."""

    for_templates = True

    def __call__(*arguments: Any, **attributes: Any) -> dict[Any, Any]:
        """As Python's, without containers as keys."""
        found: dict[Any, Any] = {}
        for given in arguments[1:]:
            pairs = given.items() if isinstance(given, dict) else given
            found |= {operations.key(k): value for k, value in CURRENT.get().each(pairs)}
        return found | attributes

    def fromkeys(self, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        """A dict in which each key has the same value."""
        return {operations.key(k): value for k in CURRENT.get().each(keys)}


def _raise(message: object) -> NoReturn:
    budget = CURRENT.get()
    budget.charge(budget.size(message))
    raise jinja2.TemplateError(str(message))


def _strftime_now(pattern: str) -> str:
    if len(pattern) > 200 or re.search(r"\d", pattern):
        raise SecurityError("strftime_now: expected a short format without widths")
    return datetime.now().strftime(pattern)
