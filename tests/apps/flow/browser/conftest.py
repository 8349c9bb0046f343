"""A browser and the page of flows, with what tests do there by mouse and keyboard."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmpy.apps.flow import Models
from tests.apps.flow.test_app import flows_running
from tests.apps.webapp.browser.conftest import Tab, chromium, tab
from tests.apps.webapp.browser.test_access import axe

READY = "body[data-ready]"
IDLE = 'button.run[data-runs="false"]'


class Canvas:
    """The page of a flow."""

    def __init__(self, page: Any, file: Path) -> None:
        self.page, self.file = page, file

    def node(self, id: str) -> Any:
        """The element of a node."""
        return self.page.locator(f'.node[data-id="{id}"]')

    def port(self, port: str) -> tuple[float, float]:
        """The middle of the plug of a port, "a.value"."""
        id, name = port.split(".", 1)
        box = self.node(id).locator(f'[data-port="{name}"] .plug').bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press at one point, and let go at another."""
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=3)
        mouse.move(*end, steps=3)
        mouse.up()

    def join(self, output: str, port: str) -> None:
        """Drag a wire from an output to an input."""
        n = len(self.edges())
        self.drag(self.port(output), self.port(port))
        self.until(lambda flow: len(flow["edges"]) == n + 1)

    def drop(self, kind: str, x: float, y: float) -> None:
        """Drag a kind of node from the list to a point of the canvas."""
        n = len(self.flow()["nodes"])
        button = self.page.locator(f'[data-kind="{kind}"]')
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        view = self.page.locator("#canvas").bounding_box()
        self.drag((box["x"] + 40, box["y"] + 12), (view["x"] + x, view["y"] + y))
        self.until(lambda flow: len(flow["nodes"]) == n + 1)

    def flow(self) -> Any:
        """The flow as the page has it."""
        script = "async () => (await import('/flow/web/js/graph.js')).toJSON()"
        return self.page.evaluate(script)

    def edges(self) -> list[str]:
        """The wires in short."""
        return [
            f"{e['source']}.{e['sourceHandle']} -> {e['target']}.{e['targetHandle']}"
            for e in self.flow()["edges"]
        ]

    def until(self, true: Callable[[Any], Any]) -> None:
        """Wait until something is true of the flow."""
        for _ in range(600):
            if true(self.flow()):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"it did not become so: {json.dumps(self.flow())[:2000]}")

    def run(self) -> None:
        """Run by the keyboard, and wait for the end."""
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_function(
            "() => document.getElementById('status').textContent.startsWith('The flow ')"
        )
        self.page.wait_for_selector(IDLE)

    def result(self, id: str) -> str:
        """What a node shows, once it has ended."""
        state = (
            f'.node[data-id="{id}"][data-state="done"], .node[data-id="{id}"][data-state="cached"]'
        )
        self.page.wait_for_selector(state)
        return str(self.node(id).locator(".result").inner_text())

    def saved(self, n_nodes: int) -> Any:
        """The flow of the file, once it has so many nodes."""
        for _ in range(600):
            if self.file.exists():
                found = json.loads(self.file.read_bytes())
                if len(found["nodes"]) == n_nodes and self.page.inner_text(".saved") == "Saved":
                    return found
            self.page.wait_for_timeout(100)
        raise AssertionError("it was not saved")


@pytest.fixture
def canvas(tab: Tab, tmp_path: Path, models: Models) -> Iterator[Callable[..., Canvas]]:
    """Open the page of a flow of its own, which may be given."""
    open_ = []
    tab.expected.append("status of 400")  # Chromium's own word on what the server refuses

    def opened(flow: Any = None, **options: Any) -> Canvas:
        file = tmp_path / "flow.json"
        if flow is not None:
            file.write_text(json.dumps(flow))
        context = flows_running(file, models)
        running = context.__enter__()
        open_.append(context)
        page = tab.open(running.url, **options)
        page.wait_for_selector(READY)
        return Canvas(page, file)

    yield opened
    for context in tab.contexts:
        context.close()
    tab.contexts.clear()
    for context in open_:
        context.__exit__(None, None, None)


__all__ = ["Canvas", "Tab", "axe", "chromium", "tab"]
