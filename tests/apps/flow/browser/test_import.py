"""Files that come from elsewhere: what is hostile is refused in one line, and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.apps.flow.browser.conftest import Canvas

Open = Callable[..., Canvas]
SCRIPT = "<img src=x onerror='window.ran=1'><script>window.ran=1</script>"
HOSTILE = {
    "no JSON.json": ("{", "This is no JSON."),
    "deep.json": ("[" * 5000 + "]" * 5000, "the body"),
    "list.json": ("[1]", "expected an object"),
    "wrong.json": ('{"nodes": [{"id": 1, "type": "text"}]}', "nodes[0].id: expected `str`"),
    "many.json": (
        json.dumps({"nodes": [{"id": f"n{i}", "type": "text"} for i in range(2001)]}),
        "nodes: expected up to 2000, found 2001",
    ),
    "ends.json": (
        '{"nodes": [], "edges": [{"source": "a", "sourceHandle": "b", "target": "c", '
        '"targetHandle": "d"}]}',
        "edges[0]: there is no node 'a'",
    ),
}


def give(made: Canvas, name: str, text: str) -> None:
    """Import a file by the keyboard."""
    made.page.focus("#canvas")
    made.page.keyboard.press("i")
    file = {"name": name, "mimeType": "application/json", "buffer": text.encode()}
    made.page.set_input_files("#import", file)


def test_files_that_are_no_flows_are_refused_and_the_flow_stays(canvas: Open) -> None:
    made = canvas({"nodes": [{"id": "t", "type": "text", "data": {"text": "mine"}}]})
    for name, (text, said) in HOSTILE.items():
        give(made, name, text)
        notice = made.page.wait_for_selector(f'.notice.error:has-text("{name} was not imported")')
        assert said in notice.inner_text()
        made.page.click('.notice button[aria-label="Dismiss"]')
    assert made.flow()["nodes"][0]["data"] == {"text": "mine"}


def test_names_and_texts_of_a_file_are_text(canvas: Open) -> None:
    made = canvas()
    flow = {
        "nodes": [
            {"id": SCRIPT[:150], "type": "output", "title": SCRIPT, "position": {"x": 0, "y": 0}},
            {"id": "__proto__", "type": "text", "data": {"text": SCRIPT, "__proto__": {"x": 1}}},
            {"id": "u", "type": SCRIPT, "data": {"x": SCRIPT}, "position": {"x": 0, "y": 300}},
            {"id": "p", "type": "prompt", "title": "constructor", "position": {"x": 400, "y": 300}},
        ],
        "edges": [
            {"source": "__proto__", "sourceHandle": "value", "target": SCRIPT[:150],
             "targetHandle": "value"},
            {"source": "u", "sourceHandle": SCRIPT, "target": "p", "targetHandle": "text"},
        ],
    }  # fmt: skip
    give(made, "hostile.json", json.dumps(flow))
    made.until(lambda found: len(found["nodes"]) == 4)
    made.page.wait_for_selector(".wire-problem")
    made.page.click('.node[data-id="u"] .node-name')
    made.page.wait_for_selector("#panel:not([hidden])")
    assert made.page.inner_text('.node[data-id="__proto__"]').startswith("Text")
    assert "here is no kind of node" in made.page.inner_text('.node[data-id="u"]')
    assert made.page.evaluate("window.ran") is None
    assert made.page.evaluate("({}).x") is None
