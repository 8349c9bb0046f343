"""Threads and their messages: a tree that keeps every version, and loses nothing by mistake."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from llmpy.apps.webapp.schema import connected
from llmpy.apps.webapp.store import Store
from tests.apps.webapp.conftest import Page, app_running


def test_a_thread_has_what_it_was_given(page: Page) -> None:
    fields = {
        "title": "Trees",
        "folder": "Garden",
        "pinned": True,
        "system": "Be brief.",
        "sampling": {"temperature": 0.5, "stop": ["\n"]},
        "model": "stories",
        "schema": {"type": "object", "title": "Tree"},
        "use_schema": True,
    }
    thread = page.ok("POST", "/app/threads", fields, 201)
    shown = page.ok("GET", f"/app/threads/{thread['id']}")
    assert {key: shown[key] for key in fields} == fields
    assert thread["id"] in [t["id"] for t in page.ok("GET", "/app/threads")["threads"]]


def test_fields_change_one_by_one_and_null_clears_them(page: Page, thread: str) -> None:
    path = f"/app/threads/{thread}"
    assert page.ok("PATCH", path, {"title": "A"})["title"] == "A"
    changed = page.ok("PATCH", path, {"folder": "F", "title": None})
    assert (changed["title"], changed["folder"]) == (None, "F")


def test_the_title_is_the_start_of_the_first_question(page: Page, thread: str) -> None:
    page.asked(thread, "What grows\n in a garden where nobody has planted anything for many years?")
    title = page.ok("GET", f"/app/threads/{thread}")["title"]
    assert title == "What grows in a garden where nobody has planted anything…"


def test_a_title_that_was_given_stays(page: Page) -> None:
    thread = page.new_thread(title="Mine")
    page.asked(thread)
    assert page.ok("GET", f"/app/threads/{thread}")["title"] == "Mine"


def test_editing_a_question_keeps_the_old_one_with_its_tail(page: Page, thread: str) -> None:
    first = page.asked(thread)
    second = page.asked(thread, "And then")
    page.asked(thread, "Once more", parent=None)
    messages = page.messages(thread)
    roots = [m["content"] for m in messages if m["parent"] is None]
    assert roots == ["Once upon a time", "Once more"]
    tail = [m["id"] for m in messages]
    assert {first["id"], second["parent"], second["id"]} <= set(tail)


def test_another_answer_keeps_the_first_and_is_the_leaf(page: Page, thread: str) -> None:
    first = page.asked(thread)
    other = page.answered(thread, question=first["parent"], settings={"max_tokens": 4})
    answers = [m for m in page.messages(thread) if m["parent"] == first["parent"]]
    assert [a["id"] for a in answers] == [first["id"], other["id"]]
    assert answers[0]["content"] == first["content"]
    assert page.ok("GET", f"/app/threads/{thread}")["leaf"] == other["id"]


def test_an_earlier_branch_goes_on_where_it_is_the_leaf(page: Page, thread: str) -> None:
    first = page.asked(thread)
    page.answered(thread, question=first["parent"], settings={"max_tokens": 4})
    page.ok("PATCH", f"/app/threads/{thread}", {"leaf": first["id"]})
    later = page.asked(thread, "And then")
    by_id = {m["id"]: m for m in page.messages(thread)}
    assert by_id[later["parent"]]["parent"] == first["id"]


def test_editing_an_answer_keeps_what_comes_after_it(page: Page, thread: str) -> None:
    first = page.asked(thread)
    second = page.asked(thread, "And then")
    path = f"/app/threads/{thread}/messages/{first['id']}"
    changed = page.ok("PATCH", path, {"content": "They lived happily."})
    assert changed["content"] == "They lived happily."
    messages = {m["id"]: m for m in page.messages(thread)}
    assert messages[first["id"]]["content"] == "They lived happily."
    assert messages[second["id"]]["content"] == second["content"]


def test_an_answer_that_is_written_is_not_edited(page: Page, thread: str) -> None:
    run = page.begin(thread, content="Once", settings={"max_tokens": 100_000})
    path = f"/app/threads/{thread}/messages/{run['answer']['id']}"
    page.listen(f"/app/runs/{run['run']}/events").until("text")
    answer = page.ask("PATCH", path, {"content": "Mine"})
    page.ok("POST", f"/app/runs/{run['run']}/stop")
    assert (answer.status, answer.json["error"]["code"]) == (409, "busy")
    assert page.ok("PATCH", path, {"content": "Mine"})["content"] == "Mine"


def test_an_edited_answer_is_what_the_model_reads(page: Page, thread: str) -> None:
    first = page.asked(thread)
    before = page.asked(thread, "And then", n=1)["stats"]["n_prompt"]
    longer = "word " * 50
    page.ok("PATCH", f"/app/threads/{thread}/messages/{first['id']}", {"content": longer})
    after = page.asked(thread, "And then", parent=first["id"], n=1)["stats"]["n_prompt"]
    assert after > before + 40


def test_deleting_a_message_takes_all_after_it(page: Page, thread: str) -> None:
    first = page.asked(thread)
    second = page.asked(thread, "And then")
    path = f"/app/threads/{thread}/messages/{second['parent']}"
    gone = page.ok("DELETE", path)
    assert gone == {"deleted": [second["parent"], second["id"]], "leaf": first["id"]}
    assert [m["id"] for m in page.messages(thread)] == [first["parent"], first["id"]]


def test_a_deleted_thread_comes_back_whole(page: Page, thread: str) -> None:
    page.asked(thread)
    before = page.messages(thread)
    assert page.ok("DELETE", f"/app/threads/{thread}")["deleted"] == [thread]
    assert page.refused("GET", f"/app/threads/{thread}", status=404)["code"] == "not_found"
    assert thread not in [t["id"] for t in page.ok("GET", "/app/threads")["threads"]]
    page.ok("POST", f"/app/threads/{thread}/restore")
    assert page.messages(thread) == before


def test_many_are_deleted_but_pinned_ones_only_on_purpose(page: Page) -> None:
    plain, pinned = page.new_thread(), page.new_thread(pinned=True)
    both = {"ids": [plain, pinned]}
    assert page.ok("POST", "/app/threads/delete", both)["deleted"] == [plain]
    assert page.ok("POST", "/app/threads/delete", {**both, "pinned": True})["deleted"] == [pinned]


def test_what_was_deleted_is_gone_after_a_while(tmp_path: Path) -> None:
    store = Store(tmp_path / "chats.db")
    kept, gone = store.add_thread({"title": "kept"})["id"], store.add_thread({})["id"]
    message = {"id": "m_1", "parent": None, "role": "user", "content": "secret word"}
    store.add_messages(gone, [message], {})
    deleted = store.delete_threads([gone])
    assert store.purge(deleted) == 0
    assert store.purge(deleted + 1) == 1
    assert [t["id"] for t in store.threads()] == [kept]
    assert not store.has_message("m_1")
    store.close()


def test_one_bad_record_hides_no_other(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"stories={stories}") as page:
        thread = page.new_thread(title="Damaged")
        first = page.asked(thread)
        second = page.asked(thread, "And then")
        other = page.new_thread(title="Sound")
    db = connected(tmp_path / "chats.db")
    db.execute("UPDATE messages SET more = '{\"a\": ' WHERE id = ?", (first["id"],))
    db.execute("UPDATE messages SET content = x'ff00fe' WHERE id = ?", (second["parent"],))
    db.execute("UPDATE threads SET sampling = 7, created = 'x' WHERE id = ?", (thread,))
    db.execute("DELETE FROM messages WHERE id = ?", (first["parent"],))
    db.close()
    with app_running(tmp_path, f"stories={stories}") as page:
        assert {t["id"] for t in page.ok("GET", "/app/threads")["threads"]} == {thread, other}
        messages = {m["id"]: m for m in page.messages(thread)}
        assert messages[first["id"]]["content"] == first["content"]
        assert messages[first["id"]]["error"]["code"] == "damaged"
        assert messages[first["id"]]["parent"] is None  # its parent is lost
        assert messages[second["id"]]["content"] == second["content"]
        assert page.asked(thread, "Go on")["state"] == "done"


def test_a_damaged_file_is_set_aside_and_what_can_be_read_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    store = Store(path)
    threads = [store.add_thread({"title": f"Thread {i}"})["id"] for i in range(300)]
    for i, thread in enumerate(threads):
        message = {"id": f"m_{i}", "parent": None, "role": "user", "content": "word " * 200}
        store.add_messages(thread, [message], {})
    store.close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    data = bytearray(path.read_bytes())
    data[0:100] = b"\xee" * 100  # the head of the file
    path.write_bytes(data)
    with Store(path) as again:
        assert again.threads() == []  # nothing can be read without a head
    assert next(iter(tmp_path.glob("chats.damaged-*.db"))).read_bytes() == data


OLDER = """
CREATE TABLE threads (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    title TEXT, folder TEXT, system TEXT, model TEXT, leaf TEXT,
    pinned INTEGER NOT NULL DEFAULT 0, sampling TEXT NOT NULL DEFAULT '{}',
    created REAL NOT NULL, updated REAL NOT NULL, deleted REAL
);
INSERT INTO threads (id, title, created, updated) VALUES ('t_old', 'Old', 1, 2);
PRAGMA user_version = 1;
"""


def test_a_file_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "chats.db")
    db.executescript(OLDER)
    db.close()
    schema = {"type": "object"}
    for _ in range(2):
        with Store(tmp_path / "chats.db") as store:
            (thread,) = store.threads()
            assert thread["title"] == "Old"
            store.change_thread("t_old", {"schema": schema, "use_schema": True})
            assert store.thread("t_old")["schema"] == schema
    with Store(tmp_path / "new.db") as store:
        assert set(store.add_thread({})) == set(thread)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"schema": "x"}, "schema"),
        ({"title": 7}, "title"),
        ({"pinned": "yes"}, "pinned"),
        ({"sampling": {"temperature": "hot"}}, "sampling.temperature"),
        ({"sampling": {"temperature": -1}}, "sampling.temperature"),
        ({"sampling": {"heat": 1}}, "sampling"),
        ({"sampling": {"max_tokens": 0}}, "sampling.max_tokens"),
        ({"title": "x" * 501}, "title"),
        ({"leaf": "m_none"}, None),
    ],
)
def test_wrong_fields_are_named(page: Page, thread: str, body: Any, param: str | None) -> None:
    error = page.refused("PATCH", f"/app/threads/{thread}", body, 404 if "leaf" in body else 400)
    assert error["param"] == param
