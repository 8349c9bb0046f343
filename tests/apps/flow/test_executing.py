"""Running flows: order, cache, branches, errors, stopping."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import llmpy
from llmpy.apps.flow import Event, Execution, FlowError, Models
from llmpy.apps.flow.cache import Cache
from tests.apps.flow.conftest import SECONDS, Done, made
from tests.threads import finish


@pytest.fixture
def cache() -> Iterator[Cache]:
    found = Cache()
    yield found
    found.close()


def test_values_go_along_the_wires() -> None:
    flow = made(
        {"a": ("text", {"text": "owls"}), "n": ("number", {"number": 3}),
         "p": ("prompt", {"template": "{{n}} {{what}}"}), "o": "output"},
        "a.value -> p.what", "n.value -> p.n", "p.text -> o.value",
    )  # fmt: skip
    assert Done(flow).outputs == {"Output": "3 owls"}


def test_outputs_have_titles_and_numbers_where_these_are_equal() -> None:
    flow = made({"a": ("text", {"text": "x"}), "o": "output", "p": "output"},
                "a.value -> o.value", "a.value -> p.value")  # fmt: skip
    assert Done(flow).outputs == {"Output": "x", "Output 2": "x"}


def test_without_output_nodes_the_last_nodes_are_the_outputs() -> None:
    flow = made({"a": ("text", {"text": "x"}), "p": "prompt"}, "a.value -> p.text")
    assert Done(flow).outputs == {"Prompt": "x"}


def test_nodes_run_at_the_same_time_as_soon_as_their_inputs_are_there(
    plug: Callable[..., None],
) -> None:
    meeting = threading.Barrier(3, timeout=SECONDS)

    def meet(text: str) -> int:
        """Wait for the others."""
        return meeting.wait() * 0 + len(text)

    plug(meet)
    nodes: dict[str, Any] = dict.fromkeys("abc", "tests.meet")
    wires = [f"t.value -> {name}.text" for name in "abc"]
    done = Done(made({"t": ("text", {"text": "xy"}), **nodes}, *wires))
    assert [done[name] for name in "abc"] == [2, 2, 2]


def test_a_node_is_told_of_in_order() -> None:
    done = Done(made({"a": ("text", {"text": "x"}), "o": "output"}, "a.value -> o.value"))
    assert done.states("a") == done.states("o") == ["waiting", "running", "done"]


def counter(calls: list[str]) -> Callable[..., Any]:
    def count(text: str, *, times: int = 1) -> str:
        """Count how often it is called."""
        calls.append(text)
        return text * times

    return count


def test_equal_content_is_not_computed_again(plug: Callable[..., None], cache: Cache) -> None:
    calls: list[str] = []
    plug(counter(calls))

    def run(text: str, times: int) -> Done:
        node = ("tests.count", {"times": times})
        flow = made({"t": ("text", {"text": text}), "c": node}, "t.value -> c.text")
        return Done(flow, cache=cache)

    assert run("a", 2)["c"] == "aa"
    again = run("a", 2)
    assert (again["c"], again.states("c")[-1]) == ("aa", "cached")
    run("b", 2)
    run("a", 3)
    assert calls == ["a", "b", "a"]


def test_a_fresh_node_is_computed_again(plug: Callable[..., None], cache: Cache) -> None:
    calls: list[str] = []
    plug(counter(calls))
    flow = made({"t": ("text", {"text": "a"}), "c": "tests.count"}, "t.value -> c.text")
    for fresh in ([], [], ["c"]):
        Done(flow, cache=cache, fresh=fresh)
    assert calls == ["a", "a"]


def test_a_cache_in_a_file_lasts(plug: Callable[..., None], tmp_path: Any) -> None:
    calls: list[str] = []
    plug(counter(calls))
    flow = made({"t": ("text", {"text": "a"}), "c": "tests.count"}, "t.value -> c.text")
    for _ in range(2):
        kept = Cache(tmp_path / "cache.db")
        Done(flow, cache=kept)
        kept.close()
    assert calls == ["a"]


def test_a_file_that_is_no_cache_is_one_line(tmp_path: Any) -> None:
    (tmp_path / "c.db").write_text("no database, but a text that is long enough" * 10)
    with pytest.raises(OSError, match="the cache cannot be opened"):
        Cache(tmp_path / "c.db")


BRANCH = {
    "t": ("text", {"text": "a cat"}), "i": ("if", {"value": "cat"}),
    "y": ("prompt", {"template": "yes {{x}}"}), "n": ("prompt", {"template": "no {{x}}"}),
    "after": "output", "join": ("list", {"inputs": 2}), "o": "output",
}  # fmt: skip
BRANCH_WIRES = (
    "t.value -> i.input", "i.yes -> y.x", "i.no -> n.x", "n.text -> after.value",
    "y.text -> join.item 1", "n.text -> join.item 2", "join.items -> o.value",
)  # fmt: skip


def test_the_other_way_is_skipped_with_all_behind_it_and_a_list_joins_the_ways() -> None:
    done = Done(made(BRANCH, *BRANCH_WIRES))
    assert done["o"] == ["yes a cat"]
    assert done.states("n")[-1] == done.states("after")[-1] == "skipped"
    assert "after" not in done.execution.values


def failing(text: str) -> str:
    """Fail."""
    raise ValueError(f"no\n{text}")


def test_an_error_ends_what_is_behind_it_and_nothing_else(plug: Callable[..., None]) -> None:
    plug(failing)
    flow = made(
        {"t": ("text", {"text": "x"}), "f": "tests.failing", "o": "output", "p": "output"},
        "t.value -> f.text", "f.value -> o.value", "t.value -> p.value",
    )  # fmt: skip
    events: list[Event] = []
    models = Models()
    execution = Execution(flow, models, tell=events.append)
    with pytest.raises(FlowError, match=r"^Failing: no x$"):
        execution.run()
    models.close()
    assert execution.values.keys() == {"t", "p"}
    assert [e.data for e in events if e.kind == "error"] == ["no x"]
    assert [e.node for e in events if e.kind == "skipped"] == ["o"]


def wrong(text: str) -> int:
    """Return another type than it says."""
    return text  # type: ignore[return-value]


def test_a_value_of_another_type_than_the_port_is_an_error(plug: Callable[..., None]) -> None:
    plug(wrong)
    flow = made({"t": "text", "w": "tests.wrong"}, "t.value -> w.text")
    with pytest.raises(FlowError, match="expected to get number, found str"):
        Done(flow)


def test_a_flow_with_a_wrong_wire_does_not_begin(plug: Callable[..., None]) -> None:
    calls: list[str] = []
    plug(counter(calls))
    flow = made(
        {"n": "number", "t": "text", "c": "tests.count", "d": "tests.count"},
        "t.value -> c.text", "n.value -> d.text",
    )  # fmt: skip
    with pytest.raises(FlowError, match="it carries a number"):
        Done(flow)
    assert calls == []


def test_targets_run_with_what_they_need_and_nothing_else() -> None:
    flow = made(
        {"a": ("text", {"text": "x"}), "b": "prompt", "c": "output", "alone": "chart"},
        "a.value -> b.text", "b.text -> c.value",
    )  # fmt: skip
    done = Done(flow, targets=["b"])
    assert done.execution.values.keys() == {"a", "b"}
    with pytest.raises(FlowError, match="there is no node 'z'"):
        Done(flow, targets=["z"])


def test_a_generator_streams_its_texts(plug: Callable[..., None]) -> None:
    def spell(text: str) -> Iterator[str]:
        """One letter after another."""
        yield from text

    spell.__annotations__["return"] = str
    plug(spell)
    done = Done(made({"t": ("text", {"text": "abc"}), "s": "tests.spell"}, "t.value -> s.text"))
    assert done["s"] == "abc"
    assert [e.data for e in done.events if e.kind == "text"] == ["a", "b", "c"]


def test_stopping_ends_what_runs_and_begins_nothing(
    plug: Callable[..., None], gate: threading.Event
) -> None:
    def slow(text: str) -> Iterator[str]:
        """Go on until it is stopped."""
        while True:
            gate.set()
            yield text

    slow.__annotations__["return"] = str
    plug(slow)
    flow = made({"t": "text", "s": "tests.slow", "o": "output"},
                "t.value -> s.text", "s.value -> o.value")  # fmt: skip
    events: list[Event] = []
    models = Models()
    execution = Execution(flow, models, tell=events.append)
    caught: list[BaseException] = []

    def run() -> None:
        try:
            execution.run()
        except llmpy.Cancelled as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert gate.wait(SECONDS)
    execution.cancel()
    finish(thread)
    models.close()
    assert caught
    assert {e.node for e in events if e.kind == "stopped"} == {"s", "o"}


def test_plug_ins_have_ports_and_settings_of_their_hints(plug: Callable[..., None]) -> None:
    from llmpy.apps.flow.kinds import all_kinds

    def repeat(
        text: str, also: list[str] | None = None, *, times: int = 2, loud: bool = False
    ) -> str:
        """Repeat a text.

        More of the docstring.
        """
        found = " ".join([text, *(also or [])] * times)
        return found.upper() if loud else found

    plug(repeat)
    kind = all_kinds()["tests.repeat"]
    assert (kind.title, kind.group, kind.about) == ("Repeat", "Plug-ins", "Repeat a text.")
    assert [(f.name, f.type, f.default) for f in kind.fields] == [
        ("times", "whole", 2), ("loud", "boolean", False)
    ]  # fmt: skip
    node = ("tests.repeat", {"loud": True})
    assert Done(made({"t": ("text", {"text": "a"}), "r": node}, "t.value -> r.text"))["r"] == "A A"


def test_a_plug_in_with_types_that_no_wire_carries_is_left_out(plug: Callable[..., None]) -> None:
    from llmpy.apps.flow.kinds import all_kinds

    def odd(number: complex) -> str:
        """Of complex numbers."""
        return str(number)

    plug(odd)
    with pytest.warns(UserWarning, match="the node 'tests:odd' is left out: expected str"):
        assert "tests.odd" not in all_kinds()


def test_a_long_chain_runs(plug: Callable[..., None]) -> None:
    n = 400
    nodes: dict[str, Any] = {"p0": ("text", {"text": "x"})}
    nodes |= {f"p{i}": ("prompt", {"template": "{{text}}."}) for i in range(1, n)}
    wires = [f"p{i}.{'text' if i else 'value'} -> p{i + 1}.text" for i in range(n - 1)]
    plug()
    assert len(Done(made(nodes, *wires))[f"p{n - 1}"]) == n
