"""Nodes on lists, and the choice between two ways."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, Any, Literal

from llmpy import chains
from llmpy.apps.flow.graph import FlowError
from llmpy.apps.flow.kinds import KINDS, Port, Ports, Shown, node
from llmpy.apps.flow.nodes.models import Model
from llmpy.apps.flow.types import Item, is_of
from llmpy.apps.flow.work import Work

__all__ = ["filter_", "if_", "map_"]

Condition = Literal[
    "contains", "does not contain", "begins with", "ends with", "equals", "is longer than",
    "is shorter than", "is at least", "is at most", "is not empty", "a model says yes",
]  # fmt: skip
Then = Literal["generate", "structured", "embed", "dates", "python", "http", "text"]
MOST_PARALLEL = 32


def _map_ports(settings: Mapping[str, Any]) -> Ports:
    """The list, other names of the template, and a list of what the kind of node gives."""
    names = [name for name in chains.Template(settings["template"]).names if name != "item"]
    gives = "text"
    if settings["then"] != "text":
        kind = KINDS[settings["then"]]
        inner = kind.ports_of(kind.settings(settings["each"], "each"))
        gives = inner.outputs[0].type
    inputs = Port("items", "list[any]"), *(Port(name, "any") for name in names)
    return Ports(inputs, (Port("results", f"list[{gives}]"),))


@node("Lists", icon="layers", title="Map over list", ports=_map_ports)
def map_(
    work: Work,
    items: list[Any],
    *,
    template: Annotated[str, Shown("lines", inline=True)] = "{{item}}",
    then: Literal[
        "generate", "structured", "embed", "dates", "python", "http", "text"
    ] = "generate",
    each: Annotated[dict[str, Any], Shown("kind")] = {},  # noqa: B006
    parallel: Annotated[int, Shown(least=1, most=MOST_PARALLEL)] = 4,
    **values: Any,
) -> list[Any]:
    """For each item, fill in the template and give the text to another kind of node."""
    prompt, done = chains.Template(template), 0
    kind = None if then == "text" else KINDS[then]
    settings = kind.settings(each, "each") if kind else {}
    if kind and (reason := work.allowed.why_not(kind.needs)):
        raise FlowError(reason)
    quiet = replace(work, is_quiet=True)

    def one(item: Any) -> Any:
        nonlocal done
        work.check()
        text = prompt.render({**values, "item": item})
        if kind is None:
            return text
        ports = kind.ports_of(settings)
        given = {ports.inputs[0].name: _as(text, item, ports.inputs[0].type)}
        found = kind.function(*([quiet] if kind.takes_work else []), **given, **settings)
        return found[ports.outputs[0].name] if len(ports.outputs) > 1 else found

    work.progress(0, len(items))
    found: list[Any] = []
    pool = ThreadPoolExecutor(min(parallel, max(1, len(items))), "llmpy-flow-map")
    try:
        for done, result in enumerate(pool.map(one, items), 1):
            found.append(result)
            work.progress(done, len(items))
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _as(text: str, item: Any, kind: str) -> Any:
    """Return the text of an item, or the item itself for an input that takes no text."""
    if is_of(text, kind):
        return text
    if is_of(item, kind):
        return item
    raise FlowError(f"expected items of the type {kind}, found {type(item).__name__}")


@node("Lists", icon="filter", title="Filter",
      outputs={"kept": list[Item], "others": list[Item]})  # type: ignore[valid-type]  # fmt: skip
def filter_(
    work: Work,
    items: list[Item],
    *,
    condition: Condition = "contains",
    value: Annotated[str, Shown(inline=True)] = "",
    model: Model = "",
) -> dict[str, list[Item]]:
    """Keep the items of a list for which a condition is true."""
    kept: list[Any] = []
    others: list[Any] = []
    for i, item in enumerate(items):
        work.check()
        work.progress(i, len(items))
        (kept if _is_true(work, item, condition, value, model) else others).append(item)
    return {"kept": kept, "others": others}


@node("Logic", icon="branch", title="If", outputs={"yes": Item, "no": Item})
def if_(
    work: Work,
    input: Item,
    *,
    condition: Condition = "contains",
    value: Annotated[str, Shown(inline=True)] = "",
    model: Model = "",
) -> dict[str, Item]:
    """Pass a value on to one of two ways; the nodes of the other one are skipped."""
    return {"yes" if _is_true(work, input, condition, value, model) else "no": input}


def _is_true(work: Work, item: Any, condition: str, value: str, model: str) -> bool:
    text = chains.as_text(item)
    if condition == "a model says yes":
        step = chains.Ask(
            "{{text}}\n\n{{question}} Answer true or false.", schema={"type": "boolean"},
            model=work.model(model), temperature=0,
        )  # fmt: skip
        return bool(replace(work, is_quiet=True).step(step, text=text, question=value))
    if condition == "is not empty":
        return bool(item) if isinstance(item, list | dict) else bool(text.strip())
    if condition in ("is longer than", "is shorter than", "is at least", "is at most"):
        bound = _number(value, "the condition")
        if condition.startswith("is at"):
            size = _number(item, "the value")
            return size >= bound if condition == "is at least" else size <= bound
        size = len(item) if isinstance(item, list) else len(text)
        return size > bound if condition == "is longer than" else size < bound
    text, value = text.casefold(), value.casefold()
    return {
        "contains": value in text,
        "does not contain": value not in text,
        "begins with": text.startswith(value),
        "ends with": text.endswith(value),
        "equals": text == value,
    }[condition]


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise FlowError(f"{what}: expected a number, found {value!r:.60}") from None
