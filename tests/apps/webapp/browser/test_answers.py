"""How an answer is shown while it is written: following, blocks, thinking, calls, errors, stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.apps.webapp.browser.scripted import Run, Scripted

Chat = Callable[..., Any]
LONG = "\n\n".join(f"Paragraph number {i} with some words in it." for i in range(60))


def ask(page: Any, server: Scripted, text: str = "Hello") -> Run:
    """Ask, and return the run."""
    n = len(server.runs)
    page.fill("#input", text)
    page.keyboard.press("Enter")
    return server.run(n)


def frames(page: Any, n: int) -> None:
    """Let some frames pass."""
    page.evaluate(
        "n => new Promise(r => { const f = () => n-- > 0 ? requestAnimationFrame(f) : r(); f(); })",
        n,
    )


def scroll_top(page: Any) -> float:
    """Where the view is, once it does not move any more."""
    return float(
        page.evaluate("""() => new Promise((resolve) => {
        const scroller = document.querySelector('.scroller');
        let [last, still] = [-1, 0];
        const look = () => {
            still = scroller.scrollTop === last ? still + 1 : 0;
            last = scroller.scrollTop;
            if (still > 12) resolve(last); else requestAnimationFrame(look);
        };
        look();
    })""")
    )


def watch_ticks(page: Any, button: str) -> None:
    """Collect in `ticks` when a button shows that it has copied, and when no more."""
    page.evaluate(
        """selector => {
            window.ticks = [];
            const button = document.querySelector(selector);
            const look = () => window.ticks.push(button.classList.contains('copied'));
            new MutationObserver(look).observe(button, { attributeFilter: ['class'] });
        }""",
        button,
    )


def answer_text(page: Any) -> str:
    return str(page.inner_text(".message.assistant:last-of-type .prose >> nth=-1"))


@pytest.fixture
def long_chat(scripted: Scripted, chat: Chat) -> Any:
    return chat(scripted.thread("Tell me a lot", LONG))


# --- the view does not move by itself


@pytest.mark.parametrize("how", ["wheel", "key", "keys while writing"])
def test_going_up_ends_following(scripted: Scripted, long_chat: Any, how: str) -> None:
    page = long_chat
    run = ask(page, scripted)
    run.text(LONG)
    page.wait_for_selector(".message.assistant >> nth=1 >> text=number 59")
    page.wait_for_function(
        "() => { const s = document.querySelector('.scroller');"
        " return s.scrollTop > 500 && s.scrollHeight - s.clientHeight - s.scrollTop < 4; }"
    )
    if how == "wheel":
        page.mouse.move(700, 300)
        page.mouse.wheel(0, -300)
    elif how == "key":
        page.focus(".scroller")
        page.keyboard.press("PageUp")
    else:
        page.focus("#input")
        page.keyboard.press("PageUp")
    page.wait_for_selector(".to-bottom:not([hidden])")
    before = scroll_top(page)
    run.text("\n\nmore" * 50)
    frames(page, 5)
    run.end()
    page.wait_for_selector(".message:last-child .actions")
    frames(page, 5)
    assert scroll_top(page) == before
    page.click(".to-bottom")
    page.wait_for_selector(".to-bottom", state="hidden")


def test_a_finger_that_pulls_the_text_down_ends_following(scripted: Scripted, chat: Chat) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = chat(scripted.thread("Tell me a lot", LONG), **phone)
    page.fill("#input", "More")
    page.tap(".send")
    run = scripted.run()
    run.text(LONG)
    page.wait_for_selector(".message.assistant >> nth=1 >> text=number 59")
    assert page.is_hidden(".to-bottom")
    session = page.context.new_cdp_session(page)
    for kind, y in [("touchStart", 300), ("touchMove", 340), ("touchMove", 460), ("touchEnd", 0)]:
        points = [{"x": 200, "y": y}] if y else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_selector(".to-bottom:not([hidden])")
    before = scroll_top(page)
    run.text(LONG)
    run.end()
    page.wait_for_selector(".message.last .actions")
    assert scroll_top(page) == before


def test_growth_of_the_layout_never_ends_following(scripted: Scripted, long_chat: Any) -> None:
    page = long_chat
    run = ask(page, scripted)
    for i in range(40):
        run.text(f"| a | b |\n|---|---|\n| {i} | 2 |\n\n```\ncode\nmore\n```\n\n")
        if i % 8 == 0:
            page.set_viewport_size({"width": 1280 - i, "height": 800 - 2 * i})
            frames(page, 2)
    page.wait_for_function("() => document.querySelectorAll('.prose table').length >= 40")
    run.end()
    page.wait_for_selector(".message.last .actions")
    page.wait_for_function(
        "() => { const s = document.querySelector('.scroller');"
        " return s.scrollHeight - s.clientHeight - s.scrollTop <= 3; }"
    )


def test_scrolling_back_to_the_end_follows_again(scripted: Scripted, long_chat: Any) -> None:
    page = long_chat
    run = ask(page, scripted)
    run.text(LONG)
    page.wait_for_selector(".message.assistant >> nth=1 >> text=number 59")
    frames(page, 5)
    page.mouse.move(700, 300)
    page.mouse.wheel(0, -200)
    page.wait_for_selector(".to-bottom:not([hidden])")
    page.mouse.wheel(0, 5000)
    page.wait_for_selector(".to-bottom", state="hidden")
    before = scroll_top(page)
    run.text(LONG)
    page.wait_for_function(f"() => document.querySelector('.scroller').scrollTop > {before} + 500")
    run.end()


# --- finished blocks stay


def test_finished_blocks_keep_their_nodes(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    run = ask(page, scripted)
    run.text("First paragraph.\n\n```python\nx = 1\n```\n\nThird")
    page.wait_for_selector("text=Third")
    page.evaluate("window.kept = [...document.querySelectorAll('.prose p, .prose pre, .code-bar')]")
    for word in ["and", "more", "words.\n\n- a\n", "- b\n\n", "# End\n"]:
        run.text(f" {word}")
        frames(page, 2)
    run.end()
    page.wait_for_selector(".message.assistant .actions")
    assert page.evaluate("window.kept.length >= 4 && window.kept.every(n => n.isConnected)")


def test_a_selection_stays_for_a_hundred_tokens(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    run = ask(page, scripted)
    run.text("Some words to select\n\n```\nand code\n")
    page.wait_for_selector("pre")
    page.evaluate("""() => {
        document.activeElement.blur();
        getSelection().removeAllRanges();
        const range = document.createRange();
        range.setStart(document.querySelector('.prose p').firstChild, 5);
        range.setEnd(document.querySelector('pre code').firstChild, 3);
        getSelection().addRange(range);
    }""")
    before = page.evaluate("getSelection().toString()")
    for i in range(100):
        run.text(f"token{i} ")
        if i % 10 == 0:
            frames(page, 1)
    page.wait_for_function("() => document.querySelector('pre').textContent.includes('token99')")
    assert page.evaluate("getSelection().toString()") == before != ""
    run.end()


def test_code_is_coloured_once_when_its_fence_closes(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    run = ask(page, scripted)
    run.text("```python\ndef f():\n    return 1\n")
    page.wait_for_selector("pre")
    frames(page, 5)
    assert page.query_selector("[class^=hljs]") is None
    run.text("```\n")
    page.wait_for_selector(".hljs-keyword")
    page.evaluate("window.span = document.querySelector('.hljs-keyword')")
    run.text("\nand more text")
    frames(page, 5)
    run.end()
    page.wait_for_selector(".message.assistant .actions")
    assert page.evaluate("window.span.isConnected")


# --- what is text, what is a formula


def test_html_of_the_model_is_text_and_runs_nothing(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    run = ask(page, scripted)
    bad = [
        "<img src=x onerror=\"window.bad=1\">", "<script>window.bad=2</script>",
        "<svg onload=window.bad=3>", "<iframe src='javascript:window.bad=4'></iframe>",
        "<a href='javascript:window.bad=5'>x</a>", "<style>body{display:none}</style>",
        "<form action=/x><input name=q></form>", "<math><mi xlink:href='javascript:1'/></math>",
    ]  # fmt: skip
    run.text(
        "\n\n".join(bad) + "\n\n[click](javascript:window.bad=6) ![i](http://other.host/a.png)"
    )
    run.end()
    page.wait_for_selector(".message.assistant .actions")
    shown = answer_text(page)
    assert [line for line in bad if line not in shown] == []
    assert page.query_selector(".prose img, .prose script, .prose iframe, .prose style") is None
    assert page.query_selector(".prose a[href^='javascript']") is None
    assert page.evaluate("window.bad") is None
    assert not any("other.host" in path for path in scripted.paths)


def test_prices_stay_and_formulas_are_drawn(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    run = ask(page, scripted)
    run.text("It is $5 and $6, or $1,000.50 to $2 and a$ b$.\n\n")
    run.text("$$\na\n\n= b\n$$\n\nHere \\(x_1\\) and \\[y^2\n= 4\\] and $n$ end")
    run.end()
    page.wait_for_function("() => document.querySelectorAll('.prose math').length === 4")
    assert "It is $5 and $6, or $1,000.50 to $2 and a$ b$." in answer_text(page)


# --- thinking, calls


def test_thinking_is_folded_and_left_out_of_copy(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread(), permissions=["clipboard-read", "clipboard-write"])
    run = ask(page, scripted)
    run.thinking("let me see")
    page.wait_for_selector(".thinking button:has-text('Thinking…')")
    assert page.is_hidden(".thoughts")
    run.thinking(" <b>more</b>")
    run.text("The answer")
    run.end(thinking_seconds=12.3)
    page.wait_for_selector(".thinking button:has-text('Thought for 12 s')")
    page.click(".thinking button")
    assert page.inner_text(".thoughts") == "let me see <b>more</b>"
    watch_ticks(page, "[aria-label='Copy answer']")
    page.click("[aria-label='Copy answer']")
    page.wait_for_function("() => window.ticks.length === 2")
    assert page.evaluate("window.ticks") == [True, False]
    assert page.evaluate("navigator.clipboard.readText()") == "The answer"


def test_editing_an_answer_keeps_thinking_apart(scripted: Scripted, chat: Chat) -> None:
    thread = scripted.thread("Q", "old")
    thread["messages"][1]["thinking"] = "hm"
    page = chat(thread)
    page.hover(".message.assistant")
    page.click("[aria-label='Edit answer']")
    page.fill(".edit-box textarea", "new")
    page.click("text=Save")
    page.wait_for_selector(".prose:has-text('new')")
    assert thread["messages"][1]["content"] == "new"
    assert thread["messages"][1]["thinking"] == "hm"
    assert page.is_visible(".thinking")


def test_calls_are_one_line_each(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    run = ask(page, scripted)
    run.text("Let me 🦊 look.")
    call = {"id": "c1", "name": "now", "arguments": '{"zone":"UTC"}', "state": "running", "at": 14}
    run.tell("tool", call | {"result": None, "error": None, "seconds": None})
    page.wait_for_selector(".call:has-text('running')")
    run.tell("tool", call | {"state": "done", "result": "12:00", "error": None, "seconds": 0.4})
    bad = call | {"id": "c2", "name": "later", "state": "failed", "error": "no network"}
    run.tell("tool", bad | {"result": None, "seconds": 1})
    run.text("It is noon.")
    run.end()
    page.wait_for_selector(".message.assistant .actions")
    body = page.inner_text(".message.assistant .body")
    order = [body.index(word) for word in ("look.", "now", "0.4 s", "later", "failed", "It is")]
    assert order == sorted(order)
    assert page.is_hidden("text=12:00")
    page.click(".call button >> nth=0")
    assert page.is_visible("text=12:00")
    page.click(".call button >> nth=1")
    assert page.is_visible("text=no network")


# --- stages, stop, errors


def test_the_stage_is_shown_at_once(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    run = ask(page, scripted)
    page.wait_for_selector(".stage")  # before any event of the server
    for stage, words in [
        ({"stage": "queue", "position": 2}, "place 2"),
        ({"stage": "loading", "model": "small"}, "Loading small"),
        ({"stage": "reading", "done": 30, "total": 120}, "Reading 25 %"),
        ({"stage": "writing"}, "Writing"),
    ]:
        run.tell("stage", stage)
        page.wait_for_selector(f".stage:has-text('{words}')")
    run.text("x")
    page.wait_for_selector(".stage", state="detached")
    run.end()


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stop_takes_the_place_of_send(scripted: Scripted, chat: Chat, how: str) -> None:
    page = chat(scripted.thread())
    run = ask(page, scripted)
    run.text("Half an ans")
    page.wait_for_selector("text=Half an ans")
    page.fill("#input", "the next one")
    page.wait_for_selector(".send[aria-label=Stop]")
    if how == "button":
        page.click(".send")
    else:
        page.keyboard.press("Escape")
    page.wait_for_selector(".send[aria-label='Send']")
    assert run.was_stopped
    assert page.is_visible("text=Half an ans")
    assert page.input_value("#input") == "the next one"
    page.wait_for_selector("[aria-label=Continue]")


def test_an_error_is_an_alert_with_retry(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    run = ask(page, scripted)
    run.end("error", {"code": "out_of_memory", "message": "5 GB are needed, 3 GB are free"})
    page.wait_for_selector("[role=alert]:has-text('5 GB are needed')")
    page.wait_for_function("() => !document.querySelector('[aria-label=Stop]')")  # drawn again
    page.click(".problem >> text=Retry")
    again = scripted.run(1)
    assert again.request["question"] == run.answer["parent"]
    again.text("Now it works")
    again.end()
    page.wait_for_selector("text=Now it works")
    page.wait_for_selector(".message.assistant .version-count:has-text('2/2')")


def test_a_refused_question_is_not_lost(scripted: Scripted, tab: Any, chat: Chat) -> None:
    tab.expected.append("400")
    page = chat(scripted.thread())
    error = {"code": "context_length_exceeded", "message": "9 tokens do not fit in 8"}
    scripted.refusal = (400, error)
    page.fill("#input", "A long question")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]:has-text('9 tokens do not fit in 8')")
    page.click("text=Retry")
    assert scripted.run(0).request["content"] == "A long question"
    scripted.run(0).end()


def test_numbers_of_an_answer(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    run = ask(page, scripted)
    run.text("x")
    run.tell("stats", {"tokens_per_second": 31.4, "n_used": 1234, "n_ctx": 8192})
    page.wait_for_selector(".meter:has-text('31 tokens/s')")
    assert "1,234 / 8,192" in page.inner_text(".meter")
    run.end(tokens_per_second=33.3, n_used=1300, first_token_seconds=0.25, n_generated=50)
    page.wait_for_selector(".stats:has-text('small · 33 tokens/s')")
    page.click(".stats")
    assert "after 0.3 s" in page.inner_text("dialog") or "after 0.2 s" in page.inner_text("dialog")
