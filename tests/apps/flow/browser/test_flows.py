"""Flows built from nothing by mouse and keyboard, run, changed, and taken back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llmpy.apps.flow import Models, loads
from tests.apps.flow.browser.conftest import Canvas
from tests.apps.flow.conftest import Done

Open = Callable[..., Canvas]
TEXT = {"id": "t", "type": "text", "data": {"text": "Say hello."}, "position": {"x": 0, "y": 0}}


def at(id: str, type: str, x: float, y: float = 0, **data: Any) -> dict[str, Any]:
    return {"id": id, "type": type, "data": data, "position": {"x": x, "y": y}}


def wire(source: str, out: str, target: str, into: str) -> dict[str, str]:
    return {"source": source, "sourceHandle": out, "target": target, "targetHandle": into}


def test_by_mouse_a_text_becomes_a_prompt_an_answer_and_an_output(
    canvas: Open, models: Models
) -> None:
    made = canvas()
    page = made.page
    made.drop("text", 60, 120)
    page.fill('.node[data-id="text1"] textarea', "the sea")
    made.drop("prompt", 350, 120)
    page.fill('.node[data-id="prompt2"] textarea', "Write one sentence about {{topic}}.")
    page.wait_for_selector('.node[data-id="prompt2"] [data-port="topic"]')
    page.click('button[aria-label="Close"]')
    made.drop("generate", 640, 120)
    page.fill('#panel [data-field="max_tokens"] input', "16")
    page.fill('#panel [data-field="temperature"] input', "0")
    page.click('button[aria-label="Close"]')
    page.click('button[aria-label="Show all nodes"]')
    made.join("text1.value", "prompt2.topic")
    made.join("prompt2.text", "generate3.prompt")
    made.drop("output", 640, 380)
    page.click('button[aria-label="Close"]')
    page.click('button[aria-label="Show all nodes"]')
    made.join("generate3.text", "output4.value")
    page.click("button.run")
    shown = made.result("output4")
    saved = loads(made.file.read_bytes() if made.saved(4) else b"")
    assert shown == Done(saved, models).outputs["Output"]
    assert shown == made.result("generate3")


def choose(made: Canvas, key: str, words: str, grows: str) -> None:
    """Choose from the list that a key opens; the flow has one more of "nodes" or "edges" then."""
    keyboard = made.page.keyboard
    n = len(made.flow()[grows])
    keyboard.press(key)
    made.page.wait_for_selector("dialog[open] #pick-0")
    keyboard.type(words)
    keyboard.press("Enter")
    made.until(lambda flow: len(flow[grows]) == n + 1)
    made.page.wait_for_selector("dialog", state="detached")


def add(made: Canvas, words: str) -> None:
    """Add a node by the keyboard; the focus is in its first field."""
    choose(made, "a", words, "nodes")


def join(made: Canvas, words: str) -> None:
    """Join the node that has the focus to another one by the keyboard."""
    choose(made, "c", words, "edges")


def test_by_keyboard_a_list_is_filtered_and_mapped(canvas: Open) -> None:
    made = canvas()
    page = made.page
    page.focus("#canvas")
    add(made, "list")
    page.wait_for_selector(".node textarea:focus")
    page.keyboard.type("red apple\ngreen pear\nred cherry")
    page.keyboard.press("Escape")
    page.wait_for_selector('.node[data-id="list1"]:focus')
    add(made, "filter")
    page.wait_for_selector('.node[data-id="filter2"] input:focus')
    page.keyboard.type("red")
    page.keyboard.press("Escape")
    join(made, "to items list")
    add(made, "map")
    page.wait_for_selector('.node[data-id="map3"] textarea:focus')
    page.keyboard.press("Control+a")
    page.keyboard.type("A {{item}}.")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.select_option('#panel [data-field="then"] select', "text")
    page.keyboard.press("Escape")
    page.wait_for_selector('.node[data-id="map3"]:focus')
    join(made, "to items kept")
    add(made, "output")
    page.keyboard.press("Escape")
    page.wait_for_selector('.node[data-id="output4"]:focus')
    join(made, "to value results")
    made.run()
    assert made.result("output4").split("\n") == ["A red apple.", "A red cherry."]
    assert made.edges() == [
        "list1.items -> filter2.items", "filter2.kept -> map3.items",
        "map3.results -> output4.value",
    ]  # fmt: skip


def test_wires_dropped_on_the_canvas_add_nodes_and_a_schema_is_edited(canvas: Open) -> None:
    made = canvas()
    page = made.page
    made.drop("text", 40, 100)
    page.fill('.node[data-id="text1"] textarea', "The numbers 3, 1 and 2.")
    view = page.locator("#canvas").bounding_box()
    made.drag(made.port("text1.value"), (view["x"] + 400, view["y"] + 150))
    page.wait_for_selector("dialog[open] #pick-0")
    page.keyboard.type("struct")
    page.keyboard.press("Enter")
    made.until(lambda flow: len(flow["edges"]) == 1)
    page.click('#panel button[aria-label="Remove the field summary"]')
    page.fill('#panel [aria-label="Name of field 1"]', "found")
    page.select_option('#panel [aria-label="Type of field 1"]', "numbers")
    page.wait_for_selector('.node[data-id="structured2"] [data-port="found"].list.t-number')
    page.click('button[aria-label="Close"]')
    made.drag(made.port("structured2.found"), (view["x"] + 760, view["y"] + 200))
    page.wait_for_selector("dialog[open] #pick-0")
    page.keyboard.type("chart")
    page.keyboard.press("Enter")
    made.until(lambda flow: len(flow["edges"]) == 2)
    assert made.edges()[1] == "structured2.found -> chart3.values"
    page.click("button.run")
    made.result("chart3")
    rows = page.locator('.node[data-id="chart3"] table tr').count()
    assert rows == page.locator('.node[data-id="chart3"] .chart-bar').count() > 0


def test_a_wire_that_does_not_fit_says_so_before_anything_runs(canvas: Open) -> None:
    made = canvas({"nodes": [at("n", "number", 0), at("g", "generate", 340)], "edges": []})
    made.join("n.value", "g.prompt")
    label = made.page.wait_for_selector(".wire-problem")
    assert "it carries a number, and 'prompt' takes a text" in label.inner_text()
    made.page.click("button.run")
    assert "it carries a number" in made.page.wait_for_selector(".notice.error").inner_text()
    assert made.page.get_attribute('.node[data-id="n"]', "data-state") == ""
    made.page.focus('.node[data-id="n"]')
    made.page.keyboard.press("Control+z")
    made.page.wait_for_selector(".wire-problem", state="detached")


def test_undo_and_redo_go_through_all_that_was_done(canvas: Open) -> None:
    made = canvas()
    page = made.page
    page.focus("#canvas")
    add(made, "text")
    page.fill('.node[data-id="text1"] textarea', "abc")
    page.keyboard.press("Escape")
    page.wait_for_selector('.node[data-id="text1"]:focus')
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Delete")
    made.until(lambda flow: flow["nodes"] == [])
    page.keyboard.press("Control+z")
    made.until(lambda flow: flow["nodes"] and flow["nodes"][0]["data"] == {"text": "abc"})
    x = made.flow()["nodes"][0]["position"]["x"]
    page.keyboard.press("Control+z")
    made.until(lambda flow: flow["nodes"][0]["position"]["x"] == x - 20)
    page.keyboard.press("Control+z")
    made.until(lambda flow: flow["nodes"][0]["data"] == {})
    for _ in range(2):
        page.keyboard.press("Control+Shift+z")
    made.until(lambda flow: flow["nodes"][0]["position"]["x"] == x)
    assert made.flow()["nodes"][0]["data"] == {"text": "abc"}


def test_copies_have_their_own_wires_and_text_becomes_a_node(canvas: Open) -> None:
    made = canvas({"nodes": [TEXT, at("o", "output", 340)], "edges": [wire("t", "value", "o", "value")]})  # fmt: skip  # noqa: E501
    page = made.page
    paste = """text => {
        const data = new DataTransfer();
        data.setData('text/plain', text);
        document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }));
    }"""
    copied = """() => {
        const data = new DataTransfer();
        document.dispatchEvent(new ClipboardEvent('copy', { clipboardData: data }));
        return data.getData('text/plain');
    }"""
    page.focus('.node[data-id="t"]')
    page.keyboard.press("Control+a")
    page.evaluate(paste, page.evaluate(copied))
    made.until(lambda flow: len(flow["nodes"]) == 4)
    assert made.edges() == ["t.value -> o.value", "text3.value -> output4.value"]
    page.evaluate(paste, "plain words")
    made.until(lambda flow: len(flow["nodes"]) == 5)
    assert made.flow()["nodes"][4]["data"] == {"text": "plain words"}


def test_a_run_is_stopped_and_the_text_so_far_stays(
    canvas: Open, plug: Callable[..., None]
) -> None:
    def count(text: str) -> Iterator[str]:
        """Write without end."""
        for i in range(10**9):
            time.sleep(0.01)
            yield f"{text}{i} "

    count.__annotations__["return"] = str
    plug(count)
    nodes = [TEXT, at("g", "tests.count", 340), at("o", "output", 680)]
    wires = [wire("t", "value", "g", "text"), wire("g", "value", "o", "value")]
    made = canvas({"nodes": nodes, "edges": wires})
    page = made.page
    page.click("button.run")
    page.wait_for_function(
        "() => document.querySelector('.node[data-id=g] .result').textContent.length > 20"
    )
    page.keyboard.press("Escape")
    page.wait_for_selector('.node[data-id="g"][data-state="stopped"]')
    page.wait_for_selector('button.run[data-runs="false"]')
    assert len(page.inner_text('.node[data-id="g"] .result')) > 20
    assert page.get_attribute('.node[data-id="o"]', "data-state") == "stopped"


def test_what_is_done_is_on_the_disk_and_there_after_a_reload(canvas: Open) -> None:
    made = canvas()
    made.page.focus("#canvas")
    add(made, "text")
    made.page.keyboard.type("kept")
    made.until(lambda flow: flow["nodes"][0]["data"] == {"text": "kept"})
    made.page.wait_for_function("() => document.querySelector('.saved').textContent === 'Saved'")
    made.page.reload()
    made.page.wait_for_selector('.node[data-id="text1"] textarea')
    assert made.page.input_value('.node[data-id="text1"] textarea') == "kept"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation(canvas: Open, axe: str, theme: str) -> None:
    from tests.apps.webapp.browser.test_access import violations

    made = canvas(
        {"nodes": [TEXT, at("n", "number", 0, 220), at("g", "generate", 340), at("o", "output", 680)],  # noqa: E501
         "edges": [wire("n", "value", "g", "prompt"), wire("t", "value", "o", "value")]},
        color_scheme=theme,
    )  # fmt: skip
    made.page.wait_for_selector(".wire-problem")
    made.page.click('.node[data-id="g"] .node-name')
    made.page.wait_for_selector("#panel [data-field]")
    assert violations(made.page, axe) == []
