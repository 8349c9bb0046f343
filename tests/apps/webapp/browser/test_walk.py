"""From an empty machine to the third turn, and what a real server and a real model go through."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STORY = "Write a long story about a fox and a river, with many details."


def ask(page: Any, text: str) -> None:
    page.fill("#input", text)
    page.keyboard.press("Enter")


ENDED = (
    "n => document.querySelectorAll('.message.assistant:not(.running)').length === n"
    " && document.querySelector('.send').getAttribute('aria-label') === 'Send'"
)
LONG = (
    "n => document.querySelectorAll('.message.assistant').length === n"
    " && [...document.querySelectorAll('.assistant .prose')].pop()?.textContent.length > 300"
)


def wait_for_answers(page: Any, n: int) -> None:
    """Wait until there are n answers; stop a long one: a small model may not find an end."""
    page.wait_for_function(f"n => ({ENDED})(n) || ({LONG})(n)", arg=n)
    page.evaluate("document.querySelector('.send[aria-label=Stop]')?.click()")
    page.wait_for_function(ENDED, arg=n)


def test_from_an_empty_machine_to_the_third_turn(
    start_app: Callable[..., Any], smollm2: Path, tab: Any
) -> None:
    app = start_app()
    page = tab.open(app.url)
    page.wait_for_selector("h1:has-text('Choose a model')")
    assert page.is_visible(".card:has-text('smollm2') >> text=Download")
    page.fill("#pull-name", str(smollm2))
    page.click(".pull-form button")
    page.wait_for_selector("#input")  # the model is there: the empty chat takes the place of cards
    ask(page, "What is the capital of France? Answer in one sentence.")
    wait_for_answers(page, 1)
    ask(page, "And of Italy?")
    wait_for_answers(page, 2)
    ask(page, "Thank you.")
    wait_for_answers(page, 3)
    assert all(text.strip() for text in page.locator(".prose").all_inner_texts())
    assert "tokens/s" in page.inner_text(".stats >> nth=-1")
    assert page.locator("#thread-list .row").count() == 1


def test_a_reload_in_mid_stream_loses_nothing_and_stop_still_works(app: Any, tab: Any) -> None:
    page = tab.open(app.url)
    page.wait_for_selector("#input")
    ask(page, STORY)
    page.wait_for_function("() => document.querySelector('.prose')?.textContent.length > 40")
    before = page.inner_text(".prose")
    page.reload()
    page.wait_for_function(
        "n => document.querySelector('.prose')?.textContent.length > n", arg=len(before) + 20
    )
    assert page.inner_text(".prose").startswith(before[:40])
    page.click(".send[aria-label=Stop]")
    page.wait_for_selector(".send[aria-label=Send]")
    stopped = page.inner_text(".prose")
    page.wait_for_timeout(500)
    assert page.inner_text(".prose") == stopped


def test_a_server_that_is_killed_and_comes_back(app: Any, tab: Any) -> None:
    tab.expected.append("Failed to load|ERR_|error in connection")
    page = tab.open(app.url)
    page.wait_for_selector("#input")
    ask(page, STORY)
    page.wait_for_function("() => document.querySelector('.prose')?.textContent.length > 60")
    shown = page.inner_text(".prose")
    app.kill()
    page.wait_for_selector("#banner [role=alert]")
    page.fill("#input", "a draft")
    app.start()
    page.wait_for_selector("#banner [role=alert]", state="detached")
    page.wait_for_selector(".send[aria-label=Send]")
    page.wait_for_selector(".note:has-text('The server was stopped here')")
    assert page.inner_text(".prose").startswith(shown[: len(shown) - 1])
    assert page.input_value("#input") == "a draft"
    page.click("[aria-label='Stop'], [aria-label='Continue'] >> nth=0")
    page.wait_for_function(
        "n => document.querySelector('.prose').textContent.length > n", arg=len(shown) + 20
    )
    page.click(".send[aria-label=Stop]")
    page.wait_for_selector(".send[aria-label=Send]")


def test_two_tabs_see_each_other(app: Any, tab: Any) -> None:
    one = tab.open(app.url)
    one.wait_for_selector("#input")
    two = tab.open(app.url)
    two.wait_for_selector("#input")
    ask(one, STORY)
    two.wait_for_selector(".row")
    two.click(".row a")
    two.wait_for_function("() => document.querySelector('.prose')?.textContent.length > 40")
    two.click(".send[aria-label=Stop]")
    one.wait_for_selector(".send[aria-label=Send]")
    two.wait_for_selector(".send[aria-label=Send]")
    assert one.inner_text(".prose") == two.inner_text(".prose")
    two.hover(".row")
    two.click(".row .icon-button")
    two.click("[role=menuitem]:has-text('Pin')")
    one.wait_for_selector(".group-head:has-text('Pinned')")


def test_a_model_removed_while_in_use(
    start_app: Callable[..., Any], smollm2: Path, tab: Any
) -> None:
    tab.expected.append("409")
    app = start_app()
    page = tab.open(app.url)
    page.fill("#pull-name", str(smollm2))
    page.click(".pull-form button")
    page.wait_for_selector("#input")
    name = page.inner_text("#picker").strip()
    other = tab.open(app.url + "#/models")
    other.click(f"[aria-label='More for {name}']")
    other.click("[role=menuitem].danger")
    other.wait_for_selector("dialog .button.danger")  # so that one press is left: answers end
    ask(page, STORY)
    page.wait_for_function("() => document.querySelector('.prose')?.textContent.length > 40")
    shown = page.inner_text(".prose")
    other.click("dialog .button.danger")
    other.wait_for_selector("dialog:has-text('is answering')")
    other.click("dialog .button.danger")
    page.wait_for_selector("#picker.missing")
    assert f"{name} (not installed)" in page.inner_text("#picker")
    assert page.inner_text(".prose").startswith(shown[:30])
    assert page.is_disabled(".send")


def test_the_search_of_the_app_finds_and_opens(app: Any, tab: Any) -> None:
    threads = [
        {"title": f"Chat {i}", "messages": [
            {"id": f"m_{i:08d}", "parent": None, "role": "user", "content": f"needle{i} in the hay",
             "created": 1.0 + i}]}
        for i in range(30)
    ]  # fmt: skip
    data = json.dumps({"llmpy_chats": 1, "threads": threads}).encode()
    request = urllib.request.Request(
        app.url + "app/import", data, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request).close()
    page = tab.open(app.url)
    page.wait_for_selector(".row")
    page.fill("#search", "needle17")
    page.wait_for_selector(".hit mark")
    page.click(".hit")
    page.wait_for_selector(".bubble:has-text('needle17')")


@pytest.mark.full
def test_ten_idle_seconds_ask_nothing_and_wait_for_nothing(app: Any, tab: Any) -> None:
    page = tab.open(app.url)
    page.wait_for_selector("#input")
    ask(page, "Say hello.")
    wait_for_answers(page, 1)
    page.wait_for_timeout(6500)
    page.evaluate("""() => {
        window.woken = [];
        for (const name of ['setTimeout', 'setInterval', 'requestAnimationFrame', 'fetch']) {
            const had = window[name];
            window[name] = (...a) => { window.woken.push(name); return had.apply(window, a); };
        }
        new PerformanceObserver(l => window.woken.push(...l.getEntries().map(e => e.name)))
            .observe({ entryTypes: ['resource', 'longtask'] });
        new MutationObserver(() => window.woken.push('change'))
            .observe(document, { subtree: true, childList: true, attributes: true });
    }""")
    time.sleep(10)
    assert page.evaluate("window.woken") == []
    assert page.evaluate("document.getAnimations().length") == 0
