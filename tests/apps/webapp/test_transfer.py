"""Chats that are taken along: nothing is lost on the way, whatever the file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmpy.apps.webapp.mdx import from_mdx, to_mdx
from llmpy.apps.webapp.plaintext import from_markdown, to_markdown
from tests.apps.webapp.conftest import Page, app_running


def filled(page: Page) -> str:
    """A thread with branches."""
    thread = page.new_thread(
        title="Tales", folder="F", pinned=True, system="Be brief.", schema={"type": "integer"}
    )
    first = page.asked(thread)
    page.answered(thread, question=first["parent"], settings={"max_tokens": 4})
    page.asked(thread, "And then", parent=first["id"], files=[{"name": "a.txt", "text": "A"}])
    page.asked(thread, "Another beginning", parent=None)
    return thread


def test_an_export_that_was_imported_is_exported_the_same(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path / "a", f"stories={stories}") as page:
        filled(page)
        page.asked(page.new_thread(sampling={"temperature": 0.3}))
        export = page.ask("GET", "/app/export")
        assert export.headers["content-disposition"].startswith("attachment")
    with app_running(tmp_path / "b", f"stories={stories}") as page:
        found = page.ok("POST", "/app/import", export.json)
        assert (len(found["threads"]), found["skipped"]) == (2, [])
        assert page.ask("GET", "/app/export").json == export.json


def test_an_import_beside_the_same_chats_makes_copies(page: Page) -> None:
    thread = filled(page)
    export = page.ok("GET", f"/app/threads/{thread}/export")
    (copy,) = page.ok("POST", "/app/import", export)["threads"]
    assert copy != thread
    texts = [[m["content"] for m in page.messages(t)] for t in (thread, copy)]
    assert texts[0] == texts[1]
    assert not {m["id"] for m in page.messages(thread)} & {m["id"] for m in page.messages(copy)}
    assert page.asked(copy, "Go on")["state"] == "done"


def test_one_bad_thread_hides_no_other(page: Page) -> None:
    good = {"title": "good", "messages": [{"id": "q", "role": "user", "content": "Hi"}]}
    bad: list[Any] = [
        7,
        {"title": 7},
        {"messages": [{"role": "god", "content": "Hi"}]},
        {"messages": [{"id": "a", "role": "user", "parent": "b"}]},
        {"messages": [{"id": "a", "role": "user"}, {"id": "a", "role": "user"}]},
        {"sampling": {"temperature": "x"}},
    ]
    found = page.ok("POST", "/app/import", {"threads": [*bad, good]})
    assert [s["index"] for s in found["skipped"]] == list(range(len(bad)))
    (thread,) = found["threads"]
    assert page.messages(thread)[0]["content"] == "Hi"


def test_a_file_of_a_newer_version_is_refused(page: Page) -> None:
    assert (
        "newer" in page.refused("POST", "/app/import", {"llmpy_chats": 2, "threads": []})["message"]
    )


def test_the_shown_branch_as_markdown(page: Page) -> None:
    thread = page.new_thread(title="Tales")
    first = page.asked(thread)
    page.asked(thread, "Another beginning", parent=None)
    page.ok("PATCH", f"/app/threads/{thread}", {"leaf": first["id"]})
    answer = page.ask("GET", f"/app/threads/{thread}/export?form=md")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    expected = "# Tales\n\n## You\n\nOnce upon a time\n\n## Assistant (stories)\n\n"
    assert answer.body.decode() == expected + first["content"].strip() + "\n"


TEXTS = [
    "Plain",
    "## You\n\nnot a heading\n## Assistant (x)",
    "\\## You",
    "```\n## You\n```",
    "  two\n\n\nlines  of *text*  \n> quoted",
    '<User id="1" />\n<Bot\n/>\nend',
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back_from_both_forms(text: str) -> None:
    thread = {"title": "T", "system": 'Say "hi"', "created": 1e9}
    common: dict[str, Any] = {"files": [], "thinking": "", "tool_calls": [], "settings": {}}
    path = [
        {"id": "m_1", "role": "user", "content": text, "model": None, "created": 1e9, **common},
        {"id": "m_2", "role": "assistant", "content": text, "model": "m", "created": 1e9, **common},
    ]
    both = from_markdown(to_markdown(thread, path), None), from_mdx(to_mdx(thread, path), None)
    for back in both:
        found = [(m["role"], m["content"].replace(" <", "<").strip()) for m in back["messages"]]
        assert found == [(m["role"], text.strip()) for m in path]
        assert back["messages"][1]["parent"] == back["messages"][0]["id"]


LOCAL_AI = """---
date: 2023-06-01 10:00:00.000 UTC
icon: 1234567
---

<User id="aaa" timestamp="2023-06-01T10:00:05.000Z" />

What is a tree?


<Bot
\tid="bbb"
\tmodel="wizard-7b"
\tdigest="00ff"
\tsystem="Greeting!"
\ttimestamp="2023-06-01T10:00:09.000Z"
\tpromptTemplate={`
AI: {system}
Human: {prompt}
AI:
\t`}
\tcompletionParams={{
  "temperature": 1,
  "stop": [
    "AI: "
  ]
}}
/>

A tall plant.

With leaves.


<Note id="ccc" timestamp="2023-06-01T10:01:00.000Z" />

My note.
"""


def test_a_thread_of_local_ai_is_imported(page: Page) -> None:
    answer = page.ask(
        "POST", "/app/import?title=Trees", LOCAL_AI.encode(), Content_Type="text/markdown"
    )
    (thread,) = answer.json["threads"]
    shown = page.ok("GET", f"/app/threads/{thread}")
    assert (shown["title"], shown["system"]) == ("Trees", "Greeting!")
    found = [(m["role"], m["content"], m["model"]) for m in shown["messages"]]
    assert found == [
        ("user", "What is a tree?", None),
        ("assistant", "A tall plant.\n\nWith leaves.", "wizard-7b"),
    ]
    assert shown["messages"][0]["created"] == 1685613605


def test_other_markdown_is_one_question(page: Page) -> None:
    answer = page.ask("POST", "/app/import", b"# Notes\n\nSome text", Content_Type="text/markdown")
    (thread,) = answer.json["threads"]
    assert [m["content"] for m in page.messages(thread)] == ["# Notes\n\nSome text"]
