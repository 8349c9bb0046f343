"""Where questions are written: keys, input methods, files, drafts, a server that is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.apps.webapp.browser.scripted import Scripted
from tests.apps.webapp.browser.test_answers import watch_ticks
from tests.apps.webapp.conftest import wait_for

Chat = Callable[..., Any]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def sent(server: Scripted) -> list[str]:
    return [b["content"] for m, p, b in server.posts if p.endswith("/runs") and "content" in b]


def test_enter_sends_and_shift_enter_breaks_the_line(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    page.focus("#input")
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    scripted.run().end()
    assert sent(scripted) == ["one\ntwo"]
    assert page.input_value("#input") == ""


def test_enter_of_an_input_method_never_sends(scripted: Scripted, chat: Chat) -> None:
    thread = scripted.thread("Q", "A")
    page = chat(thread)
    press = """([selector, init, before]) => {
        const box = document.querySelector(selector);
        box.focus();
        box.value = box.value || 'かな';
        box.dispatchEvent(new Event('input', { bubbles: true }));
        if (before) box.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true }));
        const event = new KeyboardEvent('keydown',
            { key: 'Enter', bubbles: true, cancelable: true, ...init });
        if (init.keyCode) Object.defineProperty(event, 'keyCode', { value: init.keyCode });
        box.dispatchEvent(event);
    }"""  # fmt: skip
    for init, before in [({"isComposing": True}, 0), ({"keyCode": 229}, 0), ({}, 1)]:
        page.evaluate(press, ["#input", init, before])
    page.hover(".message.user")
    page.click("[aria-label='Edit question']")
    for init in ({"isComposing": True, "ctrlKey": True}, {"keyCode": 229, "ctrlKey": True}):
        page.evaluate(press, [".edit-box textarea", init, 0])
    assert page.is_visible(".edit-box")
    page.keyboard.press("Escape")
    page.focus("#input")
    page.wait_for_timeout(100)  # until then an Enter may belong to the composition that ended
    page.keyboard.press("Enter")
    scripted.run().end()
    assert sent(scripted) == ["かな"]


def test_on_touch_enter_breaks_and_the_button_sends(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread(), **PHONE)
    page.tap("#input")
    page.keyboard.type("one")
    page.keyboard.press("Enter")
    page.keyboard.type("two")
    assert page.input_value("#input") == "one\ntwo"
    page.tap(".send")
    scripted.run().end()
    assert sent(scripted) == ["one\ntwo"]


def test_the_input_grows_to_ten_lines_and_then_scrolls(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    heights = []
    for lines in (1, 5, 10, 40):
        page.fill("#input", "\n".join("line" for _ in range(lines)))
        heights.append(page.locator("#input").bounding_box()["height"])
    assert heights[0] < heights[1] < heights[2]
    assert heights[2] <= heights[3] <= 10.6 * 24
    assert page.evaluate("getComputedStyle(document.querySelector('#input')).fontSize") == "16px"


PASTE = """text => {
    const data = new DataTransfer();
    data.setData('text/plain', text);
    document.querySelector('#input').dispatchEvent(
        new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
}"""


def test_a_long_paste_becomes_a_chip_that_can_be_removed(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    page.evaluate(PASTE, "y" * 5000)
    assert page.query_selector(".chips .chip") is None
    page.evaluate(PASTE, "x" * 5001)
    page.wait_for_selector(".chips .chip:has-text('5,001 characters')")
    page.click("[aria-label='Remove Pasted text']")
    page.wait_for_selector(".chips .chip", state="detached")
    page.evaluate(PASTE, "x" * 6000)
    page.fill("#input", "Summarize")
    page.keyboard.press("Enter")
    run = scripted.run()
    assert run.request["files"] == [{"name": "Pasted text", "text": "x" * 6000}]
    run.end()
    page.click(".message .chip")
    assert "6,000 characters" in page.inner_text("dialog")


def test_text_files_are_added_and_others_refused(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread())
    page.evaluate("""() => {
        const data = new DataTransfer();
        data.items.add(new File(['# Notes'], 'notes.md'));
        data.items.add(new File([new Uint8Array([0, 255, 1])], 'picture.png'));
        document.querySelector('#main').dispatchEvent(
            new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }""")
    page.wait_for_selector(".chip:has-text('notes.md')")
    page.wait_for_selector("[role=alert]:has-text('picture.png is not a text file')")
    with page.expect_file_chooser() as chooser:
        page.click("[aria-label='Add text files']")
    chooser.value.set_files({"name": "a.py", "mimeType": "text/x-python", "buffer": b"x = 1"})
    page.wait_for_selector(".chip:has-text('a.py')")
    page.click(".send")
    run = scripted.run()
    assert [f["name"] for f in run.request["files"]] == ["notes.md", "a.py"]
    run.end()


def test_drafts_stay_with_their_chats(scripted: Scripted, chat: Chat) -> None:
    one, two = scripted.thread("Q", "A", title="One"), scripted.thread("Q", "A", title="Two")
    page = chat(one)
    page.fill("#input", "draft of one")
    page.click("text=Two")
    page.wait_for_function("() => document.querySelector('#input').value === ''")
    page.fill("#input", "draft of two")
    page.click("text=One")
    page.wait_for_function("() => document.querySelector('#input').value === 'draft of one'")
    page.reload()
    page.wait_for_function("() => document.querySelector('#input')?.value === 'draft of one'")
    page.goto(scripted.url + f"#/c/{two['id']}")
    page.wait_for_function("() => document.querySelector('#input').value === 'draft of two'")


def test_the_prompt_is_read_ahead_while_one_types(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread("Q", "A"))
    page.evaluate("""() => {
        const input = document.querySelector('#input');
        for (const c of 'Once upon a time') {
            input.value += c;
            input.dispatchEvent(new Event('input', { bubbles: true }));
        }
    }""")
    drafts = wait_for(lambda: [b for _, p, b in scripted.posts if p.endswith("/draft")])
    assert drafts == [{"text": "Once upon a time"}]  # once the keys rest, not at each of them


def test_one_question_makes_one_generation_and_a_title(scripted: Scripted, tab: Any) -> None:
    page = tab.open(scripted.url)
    page.fill("#input", "What is a cache?")
    page.keyboard.press("Enter")
    run = scripted.run()
    run.text("A store.")
    run.end()
    page.wait_for_selector(".message.assistant .actions")
    page.wait_for_selector(".row:has-text('What is a cache?')")
    page.wait_for_function("() => document.title === 'What is a cache? · llmpy'")
    assert len(scripted.runs) == 1


def test_examples_fill_the_input(scripted: Scripted, tab: Any) -> None:
    page = tab.open(scripted.url)
    page.wait_for_selector(".examples button")
    examples = page.query_selector_all(".examples button")
    assert 1 <= len(examples) <= 3
    examples[0].click()
    assert page.input_value("#input") == examples[0].inner_text()
    assert page.evaluate("document.activeElement.id") == "input"


def test_copying_works_without_the_clipboard_interface(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread("Q", "```\nthe code\n```"))
    page.evaluate("""() => {
        Object.defineProperty(navigator, 'clipboard', { value: undefined });
        document.execCommand = () => {
            window.copied = document.activeElement.value;
            return window.works;
        };
    }""")  # fmt: skip
    page.evaluate("window.works = true")
    watch_ticks(page, "[aria-label='Copy code']")
    page.click("[aria-label='Copy code']")
    page.wait_for_function("() => window.ticks.length === 2")
    assert page.evaluate("window.ticks") == [True, False]
    assert page.evaluate("window.copied") == "the code"
    page.evaluate("window.works = false")
    page.click("[aria-label='Copy code']")
    page.wait_for_selector("[role=alert]:has-text('Copying failed')")


def test_without_a_server_chats_and_drafts_stay_and_it_connects_again(
    scripted: Scripted, tab: Any, chat: Chat
) -> None:
    tab.expected.append("Failed to load|ERR_")
    one, two = scripted.thread("First Q", "First A"), scripted.thread("Second Q", "Second A")
    one["title"], two["title"] = "One", "Two"
    page = chat(one)
    page.click("text=Two")
    page.wait_for_selector("text=Second A")
    page.context.set_offline(True)
    scripted.tell("cut", {})
    page.route("**/app/**", lambda route: route.abort())
    page.fill("#input", "Is anyone there?")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]:has-text('does not answer')")
    page.click("text=One")
    page.wait_for_selector("text=First A")
    page.fill("#input", "kept")
    page.click("text=Two")
    page.wait_for_selector(".message.user:has-text('Is anyone there?')")
    page.unroute("**/app/**")
    page.context.set_offline(False)
    page.click(".problem >> text=Retry")
    scripted.run().end()
    assert sent(scripted) == ["Is anyone there?"]
    assert page.input_value("#input") == ""


@pytest.mark.parametrize("there", [False, True])
def test_what_is_written_before_the_page_has_read_anything_is_sent(
    scripted: Scripted, tab: Any, there: bool
) -> None:
    thread = scripted.thread("Q", "A", title="There") if there else None
    page = tab.open(scripted.url, ready=False)  # the files of the page are known then
    page.wait_for_selector("#app:not([aria-busy])")
    go = scripted.hold()
    page.goto(scripted.url + "?" + (f"#/c/{thread['id']}" if thread else ""))
    page.wait_for_selector("#input:focus")
    page.keyboard.type("Quick")
    page.keyboard.press("Enter")
    page.keyboard.type("and more")
    go()
    run = scripted.run()
    assert (run.request["content"], run.thread["id"] == (thread or {}).get("id")) == (
        "Quick",
        there,
    )
    run.text("Done.")
    run.end()
    page.wait_for_selector(".prose:has-text('Done.')")
    page.wait_for_selector(".send[aria-label=Send]:enabled")
    assert page.input_value("#input") == "and more"
    assert len(scripted.runs) == 1


def test_what_is_written_while_a_chat_is_opened_belongs_to_it(
    scripted: Scripted, chat: Chat
) -> None:
    one, two = scripted.thread("Q", "A", title="One"), scripted.thread("Q", "B", title="Two")
    page = chat(one)
    go = scripted.hold()
    page.click("text=Two")
    page.wait_for_selector(".message", state="detached")
    page.keyboard.type("For two")
    go()
    page.wait_for_selector(".prose:has-text('B')")
    assert page.input_value("#input") == "For two"
    page.keyboard.press("Enter")
    assert scripted.run().thread["id"] == two["id"]
    scripted.run().end()


@pytest.mark.parametrize("there", [False, True])
def test_a_page_that_is_closed_while_it_sends_loses_nothing(
    scripted: Scripted, tab: Any, there: bool
) -> None:
    thread = scripted.thread("Q", "A") if there else None
    page = tab.open(scripted.url + (f"#/c/{thread['id']}" if thread else ""))
    unanswered = "**/app/threads{,/*/runs}"
    page.route(unanswered, lambda r: r.continue_() if r.request.method == "GET" else None)
    page.fill("#input", "Do not lose me")
    page.keyboard.press("Enter")
    if there:
        page.wait_for_selector(".bubble:has-text('Do not lose me')")
    page.wait_for_function("() => document.querySelector('#input').value === ''")
    page.reload()
    page.unroute(unanswered)
    if there:
        page.click(".problem:has-text('The page was closed') >> text=Retry")
    else:
        page.wait_for_function("() => document.querySelector('#input')?.value === 'Do not lose me'")
        page.press("#input", "Enter")
    assert scripted.run().request["content"] == "Do not lose me"
    scripted.run().end()
    page.wait_for_selector(".message.assistant >> nth=-1 >> .actions")
    page.reload()
    page.wait_for_selector(".message.assistant")
    assert page.locator(".message.user:has-text('Do not lose me')").count() == 1
    assert page.is_hidden(".problem")


def test_a_question_that_the_server_had_is_not_asked_again(scripted: Scripted, chat: Chat) -> None:
    thread = scripted.thread("Q", "A")
    page = chat(thread)
    body = {"content": "Asked", "at": 0}
    page.evaluate(
        "([id, body]) => localStorage.setItem(`llmpy.outbox.${id}`, JSON.stringify(body))",
        [thread["id"], body],
    )
    scripted.message(thread, "user", "Asked")
    scripted.message(thread, "assistant", "Answered")
    page.reload()
    page.wait_for_selector(".prose:has-text('Answered')")
    assert page.is_hidden(".problem")
    assert page.locator(".message").count() == 4
