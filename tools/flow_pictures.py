"""Take the pictures of docs/apps/flow.md: examples of flows, run on the page, in both themes.

python -m tools.flow_pictures docs/apps --model smollm2 --embedder minilm
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools import fetch_models

SIZE = {"width": 1440, "height": 860}
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PICTURES = [  # name, theme, a wire to draw, the node whose panel is open
    ("flow-light", "light", None, None),
    ("flow-dark", "dark", ("notes.items", "draw.values"), "rank"),
]
EXAMPLE = "Compare meanings"
TIMEOUT = 300_000


def take(browser: Any, url: str, folder: Path, name: str, theme: str, wire: Any, node: Any) -> None:
    """Open the example, run it, draw a wire, and take the picture."""
    page = browser.new_page(viewport=SIZE, color_scheme=theme, device_scale_factor=1.5)
    page.set_default_timeout(TIMEOUT)
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    page.click('button[aria-label="More"]')
    page.click('[role="menuitem"]:has-text("Examples")')
    page.click(f'.pick-item:has-text("{EXAMPLE}")')
    page.wait_for_selector('.node[data-id="notes"]')
    page.click("button.run")
    page.wait_for_function(
        "() => document.getElementById('status').textContent.startsWith('The flow ')"
    )
    if wire:
        names = (end.split(".") for end in wire)
        ends = [
            page.locator(f'.node[data-id="{id}"] [data-port="{port}"] .plug') for id, port in names
        ]
        for end, act in zip(ends, (page.mouse.down, page.mouse.up), strict=True):
            box = end.bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
            act()
        page.wait_for_selector(".wire-problem")
    if node:
        page.click(f'.node[data-id="{node}"] .node-name')
        page.click('button[aria-label^="Show or hide the kinds"]')
        page.wait_for_timeout(300)
    page.click('button[aria-label="Show all nodes"]')
    page.mouse.move(400, 800)
    page.wait_for_timeout(800)
    page.screenshot(path=folder / f"{name}.png")
    page.close()


def main() -> None:
    """Start the page on a flow of its own, and take all pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    paths = [str(fetch_models.path_of(name)) for name in (given.model, given.embedder)]
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = subprocess.Popen(
            [sys.executable, "-m", "llmpy", "flow", "--no-browser", "--port", "0",
             "--files", str(root / "docs" / "apps"), "-m", paths[0], "--embedder", paths[1],
             str(Path(folder) / "flow.json")],
            stderr=subprocess.PIPE, text=True, cwd=root,
        )  # fmt: skip
        assert server.stderr is not None
        found = re.search(r"http://\S+", server.stderr.readline())
        assert found, "the page did not start"
        browser = playwright.chromium.launch(executable_path=given.chromium, args=QUIET)
        for picture in PICTURES:
            take(browser, found[0], given.folder, *picture)
        browser.close()
        server.terminate()
        server.wait()
        server.stderr.close()


if __name__ == "__main__":
    main()
