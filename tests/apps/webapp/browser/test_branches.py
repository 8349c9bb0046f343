"""Questions edited, answers made again, versions stepped through, answers continued and deleted."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from tests.apps.webapp.browser.scripted import SECONDS, Scripted

Chat = Callable[..., Any]


def texts(page: Any) -> list[str]:
    return [t.strip() for t in page.locator(".bubble, .prose").all_inner_texts()]


def test_editing_a_question_keeps_the_old_one_with_its_tail(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread("Q1", "A1", "Q2", "A2"))
    page.hover(".message.user >> nth=0")
    page.click("[aria-label='Edit question'] >> nth=0")
    page.fill(".edit-box textarea", "Q1 again")
    page.keyboard.press("Control+Enter")
    run = scripted.run()
    assert run.request["parent"] is None
    run.text("B1")
    run.end()
    page.wait_for_selector(".prose:has-text('B1')")
    assert texts(page) == ["Q1 again", "B1"]
    page.wait_for_selector(".message.user .version-count:has-text('2/2')")
    page.click("[aria-label='Earlier version']")
    page.wait_for_selector("text=A2")
    assert texts(page) == ["Q1", "A1", "Q2", "A2"]
    page.click("[aria-label='Later version']")
    page.wait_for_selector("text=B1")
    assert texts(page) == ["Q1 again", "B1"]


def test_editing_an_answer_in_place_keeps_later_messages(scripted: Scripted, chat: Chat) -> None:
    thread = scripted.thread("Q1", "A1", "Q2", "A2")
    page = chat(thread)
    page.hover(".message.assistant >> nth=0")
    page.click("[aria-label='Edit answer'] >> nth=0")
    page.fill(".edit-box textarea", "better")
    page.click(".edit-box >> text=Save")
    page.wait_for_selector(".prose:has-text('better')")
    assert texts(page) == ["Q1", "better", "Q2", "A2"]
    assert [m["content"] for m in thread["messages"]] == ["Q1", "better", "Q2", "A2"]


def test_regenerate_keeps_the_old_answer_and_arrows_step(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread("Q", "first"))
    for n, word in enumerate(("second", "third")):
        page.click("[aria-label=Regenerate]")
        run = scripted.run(n)
        run.text(word)
        run.end()
        page.wait_for_selector(f".prose:has-text('{word}')")
        page.wait_for_selector(".message.last .actions")
    page.wait_for_selector(".version-count:has-text('3/3')")
    page.focus("#input")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".prose:has-text('second')")
    page.wait_for_selector(".version-count:has-text('2/3')")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".prose:has-text('first')")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".version-count:has-text('1/3')")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".version-count:has-text('2/3')")
    page.keyboard.type("ab")
    page.keyboard.press("ArrowLeft")  # moves the caret: the box is not empty
    page.keyboard.type("c")
    assert page.input_value("#input") == "acb"
    assert page.inner_text(".version-count") == "2/3"


TWO_FRAMES = "() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"


def versions(scripted: Scripted, *texts: str) -> dict[str, Any]:
    """A chat with one question and these answers to it, of which the last is shown."""
    thread = scripted.thread("Q")
    question = thread["leaf"]
    for text in texts:
        scripted.message(thread, "assistant", text, parent=question)
    return thread


def test_an_answer_to_an_earlier_step_shows_no_older_version(
    scripted: Scripted, chat: Chat
) -> None:
    page = chat(versions(scripted, "first", "second", "third"))
    asked, go = queue.Queue[Any](), threading.Semaphore(0)
    answer = scripted.answer

    def late(method: str, path: str, body: Any) -> tuple[int, Any]:
        answered = answer(method, path, body)
        if method == "PATCH":
            asked.put(body)
            assert go.acquire(timeout=SECONDS)
        return answered

    scripted.answer = late  # type: ignore[method-assign]
    page.focus("#input")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".prose:has-text('first')")
    second = asked.get(timeout=SECONDS)
    go.release()
    assert asked.get(timeout=SECONDS) != second  # so that the page has the answer to the first
    page.evaluate(TWO_FRAMES)
    assert texts(page) == ["Q", "first"]
    go.release()
    page.wait_for_selector(".version-count:has-text('1/3')")


def test_a_step_that_is_refused_is_taken_back(scripted: Scripted, tab: Any, chat: Chat) -> None:
    tab.expected.append("503")
    page = chat(versions(scripted, "first", "second"))
    answer = scripted.answer

    def refusing(method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "PATCH":
            return 503, {"error": {"message": "the disk is full", "code": "no_space"}}
        return answer(method, path, body)

    scripted.answer = refusing  # type: ignore[method-assign]
    page.focus("#input")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("[role=alert]:has-text('the disk is full')")
    page.wait_for_selector(".prose:has-text('second')")


def test_continue_goes_on_in_place(scripted: Scripted, chat: Chat) -> None:
    thread = scripted.thread("Q", "Half")
    thread["messages"][1]["state"] = "stopped"
    page = chat(thread)
    page.click("[aria-label=Continue]")
    run = scripted.run()
    assert run.request["continue"] == thread["messages"][1]["id"]
    run.text(" and whole")
    run.end()
    page.wait_for_selector(".prose:has-text('Half and whole')")
    assert page.locator(".message").count() == 2


def test_an_answer_that_runs_is_shown_from_its_first_character_after_a_reload(
    scripted: Scripted, chat: Chat
) -> None:
    page = chat(scripted.thread())
    page.fill("#input", "Hello")
    page.keyboard.press("Enter")
    run = scripted.run()
    run.thinking("hm")
    run.text("First part")
    page.wait_for_selector("text=First part")
    page.reload()
    page.wait_for_selector("text=First part")
    run.text(" and second")
    page.wait_for_selector("text=First part and second")
    assert page.inner_text(".prose").count("First part") == 1
    assert page.is_visible(".thinking")
    page.click(".send[aria-label=Stop]")
    page.wait_for_selector(".send[aria-label=Send]")
    assert run.was_stopped


def test_an_answer_goes_on_while_another_chat_is_shown(scripted: Scripted, chat: Chat) -> None:
    one, two = scripted.thread("Q", "A", title="One"), scripted.thread("Q", "A", title="Two")
    page = chat(one)
    page.fill("#input", "Hello")
    page.keyboard.press("Enter")
    run = scripted.run()
    run.text("begun ")
    page.wait_for_selector("text=begun")
    page.click("text=Two")
    page.wait_for_function(f"() => location.hash.includes('{two['id']}')")
    page.wait_for_selector(".send[aria-label=Send]")
    run.text("meanwhile ")
    page.click("text=One")
    page.wait_for_selector("text=begun meanwhile")
    run.text("end")
    run.end()
    page.wait_for_selector("text=begun meanwhile end")


def test_deleting_from_a_message_asks_first(scripted: Scripted, tab: Any, chat: Chat) -> None:
    tab.expected.append("404")  # the scripted server deletes no messages
    page = chat(scripted.thread("Q", "A"))
    page.click(".message.assistant [aria-label=More]")
    page.click("[role=menuitem]:has-text('Delete from here on')")
    page.click("dialog >> text=Cancel")
    assert not any(m == "DELETE" for m, _, _ in scripted.posts)
    page.click(".message.assistant [aria-label=More]")
    page.click("[role=menuitem]:has-text('Delete from here on')")
    page.click("dialog .button.danger")
    page.wait_for_selector("[role=alert]")  # after the server was asked
    assert any(m == "DELETE" for m, _, _ in scripted.posts)
