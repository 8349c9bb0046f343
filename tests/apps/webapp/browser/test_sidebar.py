"""The list of chats: groups, menus, folders, search, many at once, undo; the drawer of phones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.apps.webapp.browser.scripted import Scripted
from tests.apps.webapp.conftest import wait_for

Chat = Callable[..., Any]
DAY = 86400


def titles(page: Any) -> list[str]:
    return [t.strip() for t in page.locator("#thread-list .title").all_inner_texts()]


def old(server: Scripted, title: str, days: float, **fields: Any) -> dict[str, Any]:
    then = time.time() - days * DAY
    return server.thread("Q", "A", title=title, created=then, updated=then, **fields)


def menu(page: Any, title: str, label: str) -> None:
    page.hover(f".row:has-text('{title}')")
    page.click(f".row:has-text('{title}') .icon-button")
    page.click(f"[role=menuitem]:has-text('{label}')")


def test_groups_by_date(scripted: Scripted, tab: Any) -> None:
    page = tab.open(scripted.url)
    groups = page.evaluate("""async () => {
        const { dateGroup } = await import('/web/js/sidebar.js');
        const now = new Date(2026, 10, 30, 12);
        const at = (...d) => dateGroup(new Date(...d).getTime() / 1000, now);
        return [at(2026, 10, 30, 0, 1), at(2026, 10, 29, 23, 59), at(2026, 10, 23),
            at(2026, 10, 22), at(2026, 9, 31), at(2026, 9, 30), at(2025, 11, 24), at(2026, 11, 1)];
    }""")
    assert groups == [
        "Today", "Yesterday", "Last 7 days", "Last 30 days", "Last 30 days", "October",
        "December 2025", "Today",
    ]  # fmt: skip


def test_pinned_folders_dates(scripted: Scripted, tab: Any) -> None:
    old(scripted, "new one", 0)
    old(scripted, "pinned one", 90, pinned=True)
    old(scripted, "filed one", 3, folder="Work")
    page = tab.open(scripted.url)
    page.wait_for_selector(".row")
    heads = page.locator(".group-head").all_inner_texts()
    assert heads == ["Pinned", "Work", "Today"]
    assert titles(page) == ["pinned one", "filed one", "new one"]
    page.click("button.group-head:has-text('Work')")
    assert page.is_hidden("text=filed one")
    page.reload()
    page.wait_for_selector(".row")
    assert page.is_hidden("text=filed one")


def test_pin_rename_and_move(scripted: Scripted, tab: Any) -> None:
    thread = old(scripted, "a chat", 0)
    page = tab.open(scripted.url)
    menu(page, "a chat", "Pin")
    page.wait_for_selector(".group-head:has-text('Pinned')")
    menu(page, "a chat", "Rename")
    page.fill("dialog input", "better name")
    page.keyboard.press("Enter")
    page.wait_for_selector(".title:has-text('better name')")
    menu(page, "better name", "Unpin")
    page.wait_for_selector(".group-head:has-text('Pinned')", state="detached")
    menu(page, "better name", "Move to a folder")
    page.fill("dialog input", "Work")
    page.click("dialog >> text=Move >> nth=-1")
    page.wait_for_selector("button.group-head:has-text('Work')")
    assert (thread["title"], thread["folder"], thread["pinned"]) == ("better name", "Work", False)


def test_delete_has_an_undo(scripted: Scripted, chat: Chat) -> None:
    thread = scripted.thread("Q", "A", title="precious")
    page = chat(thread)
    menu(page, "precious", "Delete")
    page.wait_for_selector(".row", state="detached")
    page.wait_for_function("() => location.hash === '#/'")
    page.click(".notice >> text=Undo")
    page.wait_for_selector(".row:has-text('precious')")
    assert thread["id"] in scripted.threads


def test_no_single_key_deletes(scripted: Scripted, chat: Chat) -> None:
    page = chat(scripted.thread("Q", "A"))
    page.keyboard.press("Escape")
    for key in ("Delete", "Backspace", "d", "x", "e", "r"):
        page.keyboard.press(key)
    page.focus(".row a")
    for key in ("Delete", "Backspace", "d", "x"):
        page.keyboard.press(key)
    page.wait_for_timeout(150)
    assert [m for m, p, _ in scripted.posts if m == "DELETE" or "delete" in p] == []


def test_a_range_is_deleted_and_pinned_ones_are_kept(scripted: Scripted, tab: Any) -> None:
    for i in range(6):
        old(scripted, f"chat {i}", i / 1000)
    old(scripted, "pinned chat", 1, pinned=True)
    page = tab.open(scripted.url)
    page.click(".row:has-text('chat 1') a")
    page.click(".row:has-text('chat 4') a", modifiers=["Shift"])
    page.wait_for_selector(".select-bar:has-text('4 selected')")
    page.click(".row:has-text('pinned chat') input")
    page.click("[aria-label='Delete selected']")
    assert "1 of them is pinned and will be kept" in page.inner_text("dialog")
    page.click("dialog .button.danger")
    page.wait_for_selector(".notice:has-text('4 chats deleted. 1 pinned kept.')")
    wait_for(lambda: titles(page) == ["pinned chat", "chat 0", "chat 5"])
    page.click(".notice >> text=Undo")
    page.wait_for_selector("text=chat 3")
    assert len(scripted.threads) == 7


def test_pinned_ones_are_deleted_when_one_says_so(scripted: Scripted, tab: Any) -> None:
    old(scripted, "pinned chat", 1, pinned=True)
    page = tab.open(scripted.url)
    menu(page, "pinned chat", "Select several")
    page.click("[aria-label='Delete selected']")
    page.check("dialog input[type=checkbox]")
    page.click("dialog .button.danger")
    page.wait_for_selector(".row", state="detached")
    assert scripted.threads == {}


def test_a_hit_of_the_search_opens_at_its_message(scripted: Scripted, tab: Any) -> None:
    texts = [f"message number {i} with some words" for i in range(120)]
    thread = scripted.thread(*texts, title="Long chat")
    wanted = thread["messages"][7]
    hit = {
        "thread": thread["id"], "message": wanted["id"], "title": "Long chat",
        "text": "🦊 message number 7 with", "at": 10, "length": 6, "created": 0,
    }  # fmt: skip
    answer = scripted.answer

    def with_hits(method: str, path: str, body: Any) -> tuple[int, Any]:
        if path.startswith("/app/search"):
            return 200, {"hits": [hit], "more": False}
        return answer(method, path, body)

    scripted.answer = with_hits  # type: ignore[method-assign]
    page = tab.open(scripted.url)
    page.wait_for_selector("#input")
    page.fill("#search", "number")
    page.wait_for_selector(".hit mark")
    assert page.inner_text(".hit mark") == "number"
    page.click(".hit")
    page.wait_for_function(
        "id => { const m = document.getElementById(id)?.getBoundingClientRect();"
        " return m && 54 <= m.y && m.y <= 600; }",
        arg=f"m-{wanted['id']}",
    )
    page.fill("#search", "")
    page.wait_for_selector(".row:has-text('Long chat')")


def test_a_question_after_a_hit_in_another_branch_goes_on_there(
    scripted: Scripted, tab: Any
) -> None:
    thread = scripted.thread("Q", "wanted", title="Two branches")
    question, wanted = thread["messages"]
    scripted.message(thread, "assistant", "newer", parent=question["id"])
    page = tab.open(f"{scripted.url}#/c/{thread['id']}/{wanted['id']}")
    page.wait_for_selector(".prose:has-text('wanted')")
    page.fill("#input", "And then?")
    page.keyboard.press("Enter")
    scripted.run()
    assert thread["messages"][-2]["parent"] == wanted["id"]


def test_the_drawer_of_phones(scripted: Scripted, tab: Any) -> None:
    old(scripted, "a chat", 0)
    page = tab.open(
        scripted.url, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    page.wait_for_selector("#input")
    page.wait_for_function(
        "() => document.querySelector('#sidebar').getBoundingClientRect().right <= 0"
    )
    page.tap("[aria-label='Show the list of chats']")
    page.wait_for_function(
        "() => document.querySelector('#sidebar').getBoundingClientRect().left === 0"
    )
    page.tap(".row a")
    page.wait_for_selector(".message")
    page.wait_for_function(
        "() => document.querySelector('#sidebar').getBoundingClientRect().right <= 0"
    )
    page.tap("[aria-label='Show the list of chats']")
    page.touchscreen.tap(380, 400)
    page.wait_for_function(
        "() => document.querySelector('#sidebar').getBoundingClientRect().right <= 0"
    )


def test_a_window_that_becomes_narrow_has_no_drawer_over_the_chat(
    scripted: Scripted, chat: Any
) -> None:
    page = chat(scripted.thread("Q", "A"))
    assert page.is_visible("#sidebar")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_selector("#sidebar", state="hidden")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_selector("#sidebar")


def test_changes_of_another_tab_are_seen(scripted: Scripted, tab: Any) -> None:
    thread = scripted.thread("Q", "A", title="shared")
    page = tab.open(scripted.url + f"#/c/{thread['id']}")
    page.wait_for_selector(".message")
    shown = {k: v for k, v in thread.items() if k != "messages"}
    scripted.tell(
        "thread", {"id": thread["id"], "change": "changed", "thread": shown | {"title": "renamed"}}
    )
    page.wait_for_selector(".title:has-text('renamed')")
    message = {**thread["messages"][1], "content": "changed answer"}
    scripted.tell("message", {"thread": thread["id"], "message": message})
    page.wait_for_selector(".prose:has-text('changed answer')")
    scripted.tell("thread", {"id": thread["id"], "change": "deleted", "thread": None})
    page.wait_for_selector(".row", state="detached")
    page.wait_for_function("() => location.hash === '#/'")
