"""Walk through the app from an empty machine to the third turn, with times; take its screenshots.

    python tools/walk_app.py                          downloads the first model of the catalogue
    python tools/walk_app.py --model MODEL.gguf       takes a file that is there
    python tools/walk_app.py --model MODEL.gguf --screenshots docs

A Chromium must be installed (LLMPY_CHROMIUM says where), and `pip install playwright`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

TURNS = ("What is the capital of France?", "And of Italy?", "Which of them is older?")
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
LIMIT = 600_000  # milliseconds that a download or an answer may take
CHATS = Path(__file__).with_name("walk_chats.json")


def chromium() -> str:
    """Path of a browser."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = os.environ.get("LLMPY_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        sys.exit("no Chromium was found: set LLMPY_CHROMIUM to its path")
    return found


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The app with empty folders, as a process; its address."""
    environment = os.environ | {"LLMPY_MODELS": str(folder / "models")}
    command = [sys.executable, "-m", "llmpy", "app", "--no-browser", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--data", str(folder / "data")],
        stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"http://\S+", line):
                yield found[0] + "/"
                return
        sys.exit("the app did not start")
    finally:
        process.terminate()
        process.wait()


def short_link(model: str, folder: str) -> str:
    """A link to a model's file, named as its family is: the page shows the name everywhere."""
    path = Path(model).resolve()
    link = Path(folder) / f"{path.stem.partition('-')[0].lower()}{path.suffix}"
    link.symlink_to(path)
    return str(link)


class Clock:
    """Prints each step with the seconds since the step before."""

    def __init__(self) -> None:
        self.begun = self.last = time.perf_counter()

    def step(self, what: str) -> None:
        """Print what has been done."""
        now = time.perf_counter()
        print(f"{what:48} {now - self.last:8.2f} s {now - self.begun:8.2f} s")
        self.last = now


def walk(page: Page, url: str, model: str | None, clock: Clock) -> None:
    """Open the page, get a model, ask three times."""
    page.goto(url)
    page.wait_for_selector(".card")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    clock.step(f"page with the cards (first paint: {paint:.0f} ms)")
    if model:
        page.fill("#pull-name", model)
        page.click(".pull-form button")
    else:
        page.click(".card button")
    page.wait_for_selector("#input", timeout=LIMIT)
    clock.step("model is there")
    for n, text in enumerate(TURNS, 1):
        page.fill("#input", text)
        page.keyboard.press("Enter")
        nth = f".message.assistant >> nth={n - 1} >> .prose"
        page.wait_for_selector(f"{nth} >> text=/./", timeout=LIMIT)
        clock.step(f"turn {n}: first words")
        page.wait_for_selector(".send[aria-label=Send]", timeout=LIMIT)
        clock.step(f"turn {n}: {page.inner_text('.stats >> nth=-1')}")


def screenshots(browser: Any, url: str, folder: Path) -> None:
    """A chat of walk_chats.json on a desktop and a phone, light and dark."""
    chats = json.loads(CHATS.read_text("utf-8"))
    now = time.time()
    for thread in chats["threads"]:
        age = thread.pop("age")
        thread["model"] = None  # the one that is installed
        thread["created"] = thread["updated"] = now - age
    data = json.dumps(chats).encode()
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + "app/import", data, kind)
    with urllib.request.urlopen(request) as answer:
        first = json.load(answer)["threads"][0]
    for size, (width, height) in SIZES.items():
        for theme in ("light", "dark"):
            phone = size == "phone"
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=theme,
                has_touch=phone, is_mobile=phone,
            )  # fmt: skip
            page = context.new_page()
            page.goto(f"{url}#/c/{first}")
            page.wait_for_selector(".prose math")
            page.wait_for_selector(".hljs-keyword")
            scroll_up(page)
            page.screenshot(path=folder / f"app-{size}-{theme}.png")
            context.close()


def scroll_up(page: Page) -> None:
    """Scroll to the first message, as a reader would."""
    page.evaluate("""() => {
        const scroller = document.querySelector('.scroller');
        scroller.dispatchEvent(new WheelEvent('wheel', { deltaY: -1 }));
        scroller.scrollTop = 0;
    }""")
    page.wait_for_timeout(600)


def main() -> None:
    """Walk, and say how long each step took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a file instead of a download")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        clock = Clock()
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        clock.step("browser started")
        with running(Path(folder)) as url:
            clock.step(f"llmpy app started, on {url}")
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            model = short_link(options.model, folder) if options.model else None
            walk(page, url, model, clock)
            if options.screenshots:
                screenshots(browser, url, options.screenshots)
        browser.close()


if __name__ == "__main__":
    main()
