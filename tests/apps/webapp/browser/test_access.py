"""For everyone: axe finds nothing, Tab reaches all, screen readers are not flooded, phones."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from typing import Any

import pytest

from tests.apps.webapp.browser.scripted import Scripted
from tests.apps.webapp.browser.test_pages import BENCHMARK, CARD, PULL, answering

Chat = Callable[..., Any]
RICH = (
    "# Title\n\nText with `code`, **bold** and [a link](https://a.example).\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    "```python\n# comment\ndef f(x: int) -> str:\n    return 'a' + str(1)\n```\n\n"
    "- [x] done\n\n\\(x^2\\)\n\n> quoted"
)


@pytest.fixture(scope="session")
def axe() -> str:
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python")
    return (importlib.resources.files(package) / "axe.min.js").read_text("utf-8")


def violations(page: Any, axe: str, *rules: str, part: str = "html") -> list[str]:
    """What axe finds in a part of the page, by these rules alone if some are given."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(axe)
    found = page.evaluate(
        """async ([rules, part]) => {
            for (const animation of document.getAnimations()) {
                if (animation.effect.getTiming().iterations < 9) animation.finish();
            }
            const options = { resultTypes: ['violations'] };
            if (rules.length) options.runOnly = rules;
            return (await axe.run(part, options)).violations;
        }""",
        [list(rules), part],
    )
    return [
        f"{v['id']}: {n['html'][:150]} {n['failureSummary']}" for v in found for n in v["nodes"]
    ]


def show(name: str, server: Scripted, tab: Any, **options: Any) -> Any:
    """A page in a state that has much to look at."""
    thread = server.thread("A question", RICH, title="A chat")
    answer = thread["messages"][1]
    answer |= {
        "thinking": "hm",
        "stats": {"n_generated": 3, "tokens_per_second": 30.0, "n_ctx": 99},
    }
    call = {"id": "c", "name": "now", "arguments": "{}", "state": "failed", "error": "no", "at": 0}
    answer["tool_calls"] = [call | {"result": None, "seconds": 1}]
    bad = server.message(thread, "user", "Again", files=[{"name": "a.txt", "text": "x"}])
    error = {"code": "failed", "message": "It failed"}
    server.message(thread, "assistant", "", state="error", error=error, parent=bad["id"])
    server.thread("Q", "A", title="Pinned", pinned=True)
    server.thread("Q", "A", title="Filed", folder="Work")
    server.state |= {"catalogue": [CARD], "pulls": [PULL], "jobs": [BENCHMARK]}
    line = {"n": 1, "time": 0, "level": "ERROR", "text": "failed"}
    answering(server, ("GET", "/app/logs", {"lines": [line], "next": 1}))
    if name == "install":
        server.state |= {"models": [], "model": None}
    chat_at = f"#/c/{thread['id']}"
    address, mark = {
        "models": ("#/models", ".chart"), "settings": ("#/settings", ".field"),
        "logs": ("#/logs", ".log-line"), "new": ("", ".examples"), "install": ("", ".pull"),
    }.get(name, (chat_at, ".problem"))  # fmt: skip
    page = tab.open(server.url + address, **options)
    page.wait_for_selector(mark)
    if name == "chat":
        page.wait_for_selector(".hljs-keyword")
        page.wait_for_selector(".prose math")
    if name == "panel":
        page.click("[aria-label='Settings of this chat']")
        page.wait_for_selector(".presets")
    if name == "picker":
        page.click("#picker")
    if name == "menu":
        page.click("[aria-label='More for A chat'] >> nth=-1")
    if name == "edit":
        page.hover(".message.user")
        page.click("[aria-label='Edit question'] >> nth=0")
    if name == "dialog":
        page.click(".stats")
    page.wait_for_selector(STATES[name])
    return page


STATES = {  # and what of each axe looks at: what is around it is that of the first
    "chat": "html", "new": "html", "install": "html", "models": "html", "settings": "html",
    "logs": "html", "panel": "#panel", "picker": ".picker", "menu": ".menu", "edit": ".edit-box",
    "dialog": "dialog",
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_axe_finds_no_violation(scripted: Scripted, tab: Any, axe: str, name: str) -> None:
    page = show(name, scripted, tab, color_scheme="light")
    part = STATES[name]
    assert violations(page, axe, part=part) == []
    page.emulate_media(color_scheme="dark")  # other colours, and nothing else
    page.wait_for_function("() => matchMedia('(prefers-color-scheme: dark)').matches")
    assert violations(page, axe, "color-contrast", part=part) == []


@pytest.mark.parametrize("name", ["chat", "models", "settings"])
def test_axe_finds_no_violation_on_a_phone(
    scripted: Scripted, tab: Any, axe: str, name: str
) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
    page = show(name, scripted, tab, **phone)
    assert violations(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_every_control_is_reached_by_tab_with_a_visible_focus(scripted: Scripted, tab: Any) -> None:
    page = show("chat", scripted, tab)
    page.focus(".skip")
    seen = []
    for _ in range(90):
        page.keyboard.press("Tab")
        found = page.evaluate("""() => {
            const e = document.activeElement;
            if (e === document.body) return null;
            for (const animation of document.getAnimations()) animation.finish();
            const style = getComputedStyle(e);
            const box = e.closest('.composer');
            const ring = style.outlineStyle !== 'none' || box;
            const shown = parseFloat(style.opacity) > 0.5
                && [...function* () { for (let p = e; p; p = p.parentElement) yield p; }()]
                    .every(p => parseFloat(getComputedStyle(p).opacity) > 0.5);
            const name = e.getAttribute('aria-label') || e.textContent.trim() || e.id;
            return [name, Boolean(ring), shown];
        }""")  # fmt: skip
        if found is None:
            break
        seen.append(found)
    names = [name for name, _, _ in seen]
    for wanted in (
        "New chat", "Search chats", "A chat", "More for A chat", "Models", "Settings", "Logs",
        "Model: small", "Settings of this chat", "Copy question", "Edit question", "Copy code",
        "Copy answer", "Regenerate", "Edit answer", "More", "Message", "Add text files",
    ):  # fmt: skip
        assert wanted in names, f"{wanted} is not reached: {names}"
    assert [name for name, ring, shown in seen if not ring or not shown] == []


def test_screen_readers_are_told_once_when_an_answer_starts_and_ends(
    scripted: Scripted, chat: Chat
) -> None:
    page = chat(scripted.thread())
    assert page.get_attribute("[role=log]", "aria-live") == "off"
    page.evaluate("""() => {
        window.said = [];
        const status = document.querySelector('#status');
        new MutationObserver(() => window.said.push(status.textContent))
            .observe(status, { childList: true, characterData: true, subtree: true });
    }""")
    page.fill("#input", "Hello")
    page.keyboard.press("Enter")
    run = scripted.run()
    for i in range(30):
        run.text(f"word{i} ")
    run.end()
    page.wait_for_selector(".message.assistant .actions")
    page.wait_for_function("() => window.said.length > 1")
    assert page.evaluate("window.said") == ["Answer started.", "Answer finished."]
    assert page.get_attribute("#status", "aria-live") == "polite"


def test_pinch_zoom_is_allowed_and_the_input_stays_above_the_keyboard(
    scripted: Scripted, chat: Chat
) -> None:
    page = chat(
        scripted.thread("Q", "A"), viewport={"width": 390, "height": 844}, is_mobile=True,
        has_touch=True,
    )  # fmt: skip
    viewport = page.get_attribute("meta[name=viewport]", "content")
    assert "maximum-scale" not in viewport
    assert "user-scalable" not in viewport
    page.tap("#input")
    page.set_viewport_size({"width": 390, "height": 460})
    page.wait_for_function(
        "() => document.querySelector('.composer').getBoundingClientRect().bottom <= 460"
    )
    size = page.evaluate("parseFloat(getComputedStyle(document.querySelector('#input')).fontSize)")
    assert size >= 16


def test_actions_of_messages_are_always_there_on_touch(scripted: Scripted, chat: Any) -> None:
    thread = scripted.thread("One", "A", "Two", "B")
    see = "getComputedStyle(document.querySelector('.message .actions')).opacity"
    page = chat(thread)
    page.mouse.move(5, 5)
    page.wait_for_function(f"() => {see} === '0'")
    page.hover(".message >> nth=0")
    page.wait_for_function(f"() => {see} === '1'")
    phone = chat(thread, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    assert phone.evaluate(see) == "1"
