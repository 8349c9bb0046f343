"""Answers: on the disk before they are shown, told from the first character, stopped at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy.apps.webapp import answering
from llmpy.apps.webapp.schema import connected
from llmpy.server import toolset
from tests.apps.webapp.conftest import Page, app_running, wait_for
from tests.server.conftest import SECONDS
from tests.threads import finish

LONG = 100_000  # tokens: more than the context has


def text_of(events: Any) -> str:
    return "".join(data["text"] for _, kind, data in events if kind == "text")


def test_events_tell_the_whole_answer(page: Page, thread: str) -> None:
    run = page.begin(thread, content="Once upon a time", settings={"max_tokens": 20})
    events = page.listen(f"/app/runs/{run['run']}/events").until("done")
    done = events[-1][2]
    assert text_of(events) == done["content"] != ""
    assert [number for number, _, _ in events] == sorted(number for number, _, _ in events)
    stages = [data["stage"] for _, kind, data in events if kind == "stage"]
    assert stages[-1] == "writing"
    assert done["state"] == "done"


def test_a_stage_is_told_before_anything_is_computed(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"stories={stories}") as page:
        run = page.begin(page.new_thread(), content="Once", settings={"max_tokens": 4})
        first = next(iter(page.listen(f"/app/runs/{run['run']}/events")))
        assert first[1] == "stage"
        assert first[2]["stage"] in ("queue", "loading")


@pytest.mark.usefixtures("unhurried")
def test_the_question_is_on_the_disk_before_the_answer_begins(page: Page, thread: str) -> None:
    run = page.begin(thread, content="Is it there?", settings={"max_tokens": LONG})
    db = connected(page.app.folder / "chats.db")
    rows = db.execute("SELECT content, state FROM messages WHERE thread = ?", (thread,)).fetchall()
    db.close()
    assert [tuple(row) for row in rows] == [("Is it there?", "done"), ("", "running")]
    page.ok("POST", f"/app/runs/{run['run']}/stop")


@pytest.mark.usefixtures("unhurried")
def test_what_is_shown_is_on_the_disk(page: Page, thread: str) -> None:
    run = page.begin(thread, content="Once upon a time", settings={"max_tokens": LONG})
    shown = ""
    db = connected(page.app.folder / "chats.db")
    for n, (_, kind, data) in enumerate(page.listen(f"/app/runs/{run['run']}/events")):
        if kind == "text":
            shown += data["text"]
            rows = db.execute("SELECT text FROM tail WHERE message = ?", (run["answer"]["id"],))
            assert "".join(row["text"] for row in rows).startswith(shown)
        if n > 40 or kind == "done":
            break
    db.close()
    assert page.ok("POST", f"/app/runs/{run['run']}/stop")["content"].startswith(shown)


def test_a_second_listener_gets_it_from_the_first_character(page: Page, thread: str) -> None:
    run = page.begin(thread, content="Once upon a time", settings={"max_tokens": 200})
    path = f"/app/runs/{run['run']}/events"
    first = page.listen(path)
    for _, (_, kind, _) in zip(range(20), first, strict=False):
        if kind == "done":
            break
    first.close()
    events = page.listen(path).until("done")
    assert text_of(events) == events[-1][2]["content"]


@pytest.mark.usefixtures("unhurried")
def test_a_reloaded_page_goes_on_with_the_next_character(page: Page, thread: str) -> None:
    run = page.begin(thread, content="Once upon a time", settings={"max_tokens": 400})
    path = f"/app/runs/{run['run']}/events"
    wait_for(lambda: page.messages(thread)[-1]["content"])
    answer = page.messages(thread)[-1]
    assert answer["state"] == "running"
    rest = page.listen(f"{path}?from={answer['n_events']}").until("done")
    assert answer["content"] + text_of(rest) == rest[-1][2]["content"]


@pytest.mark.usefixtures("unhurried")
def test_the_run_of_another_tab_is_in_the_thread(page: Page, thread: str) -> None:
    run = page.begin(thread, content="Once upon a time", settings={"max_tokens": LONG})
    shown = page.ok("GET", f"/app/threads/{thread}")
    assert shown["running"] == run["run"]
    assert shown["runs"] == [{"run": run["run"], "answer": run["answer"]["id"]}]
    page.ok("POST", f"/app/runs/{run['run']}/stop")
    assert page.ok("GET", f"/app/threads/{thread}")["running"] is None


def n_steps(page: Page) -> int:
    return int(page.decoder.counts.n_steps)


@pytest.mark.usefixtures("unhurried")
def test_after_stop_nothing_is_computed_and_the_text_stays(page: Page, thread: str) -> None:
    run = page.begin(thread, content="Once upon a time", settings={"max_tokens": LONG})
    events = page.listen(f"/app/runs/{run['run']}/events")
    shown = text_of(events.until("text"))
    stopped = page.ok("POST", f"/app/runs/{run['run']}/stop")
    assert stopped["state"] == "stopped"
    assert stopped["content"].startswith(shown)
    wait_for(lambda: page.decoder.n_active == 0)
    before = n_steps(page)
    time.sleep(0.1)
    assert n_steps(page) == before
    assert events.until("done")[-1][2] == stopped


@pytest.mark.usefixtures("unhurried")
def test_many_stops_are_as_one(page: Page, thread: str) -> None:
    run = page.begin(thread, content="Once upon a time", settings={"max_tokens": LONG})
    stop = partial(page.ok, "POST", f"/app/runs/{run['run']}/stop")
    threads = [threading.Thread(target=stop) for _ in range(8)]
    for one in threads:
        one.start()
    finish(*threads)
    assert page.messages(thread)[-1]["state"] == "stopped"
    wait_for(lambda: page.ok("GET", "/app/state")["models"][0]["users"] == 0)


@pytest.mark.usefixtures("unhurried")
def test_stop_while_the_prompt_is_read(page: Page, thread: str) -> None:
    page.ok("POST", "/app/models/load", {"name": "stories"})
    run = page.begin(thread, content="word " * 150, settings={"max_tokens": LONG})
    stopped = page.ok("POST", f"/app/runs/{run['run']}/stop")
    assert stopped["state"] == "stopped"
    wait_for(lambda: page.decoder.n_active == 0 and page.decoder.n_waiting == 0)


def test_stop_while_the_model_is_loaded(
    stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()

    async def held(*arguments: Any, **options: Any) -> llmpy.Model:
        begun.set()
        while not go.is_set():
            await asyncio.sleep(0.01)
        return await llmpy.aload(*arguments, **options)

    monkeypatch.setattr("llmpy.server.models.aload", held)
    with app_running(tmp_path, f"stories={stories}") as page:
        thread = page.new_thread()
        run = page.begin(thread, content="Once upon a time")
        assert begun.wait(SECONDS)
        stopped = page.ok("POST", f"/app/runs/{run['run']}/stop")
        go.set()
        assert (stopped["state"], stopped["content"]) == ("stopped", "")
        assert page.messages(thread)[0]["content"] == "Once upon a time"
        assert page.asked(thread, "And then")["state"] == "done"


@pytest.mark.usefixtures("unhurried")
def test_an_answer_that_nobody_hears_is_stopped(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"stories={stories}", n_ctx=2048) as page:
        page.app.runs.unheard = 0.1
        thread = page.new_thread()
        run = page.begin(thread, content="Once upon a time", settings={"max_tokens": LONG})
        events = page.listen(f"/app/runs/{run['run']}/events")
        events.until("text")
        time.sleep(0.2)  # somebody listens
        assert page.messages(thread)[-1]["state"] == "running"
        events.close()
        wait_for(lambda: page.messages(thread)[-1]["state"] == "stopped")
        assert page.messages(thread)[-1]["content"]


def test_an_answer_outlives_its_listener_for_a_while(page: Page, thread: str) -> None:
    assert page.app.runs.unheard == 60
    run = page.begin(thread, content="Once upon a time", settings={"max_tokens": 300})
    events = page.listen(f"/app/runs/{run['run']}/events")
    events.until("text")
    events.close()
    assert page.end_of(run["run"])["state"] == "done"


def test_one_message_is_one_generation(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"stories={stories}") as page:
        page.asked(page.new_thread())
        wait_for(lambda: page.decoder.n_active == 0)
        assert page.decoder.counts.n_ended == 1


def test_each_answer_keeps_its_numbers(page: Page, thread: str) -> None:
    answer = page.asked(thread, n=12)
    stats = answer["stats"]
    assert answer["model"] == "stories"
    assert answer["settings"] == {"max_tokens": 12, "temperature": 0}
    assert stats["n_generated"] == 12
    assert stats["finish_reason"] == "length"
    assert stats["n_used"] == stats["n_prompt"] + 12
    assert stats["n_ctx"] == 1024
    assert stats["tokens_per_second"] > 0
    assert stats["first_token_seconds"] > 0
    assert page.messages(thread)[-1]["stats"] == stats


def test_the_next_question_reads_only_what_is_new(page: Page, thread: str) -> None:
    page.asked(thread, "Once upon a time there was a little girl who had a big red ball", n=60)
    stats = page.asked(thread, "And then")["stats"]
    assert stats["n_reused"] >= 64  # whole pages of the cache


def test_the_same_seed_gives_the_same_answer(page: Page, thread: str) -> None:
    settings = {"seed": 5, "temperature": 1.0, "max_tokens": 30}
    first = page.answered(thread, content="Once upon a time", settings=settings)
    other = page.answered(thread, question=first["parent"], settings=settings)
    assert other["content"] == first["content"]


def test_settings_of_the_thread_hold_where_the_run_has_none(page: Page) -> None:
    thread = page.new_thread(sampling={"max_tokens": 3, "temperature": 0})
    assert page.answered(thread, content="Once")["stats"]["n_generated"] == 3
    longer = page.answered(thread, content="Once", settings={"max_tokens": 5})
    assert longer["settings"] == {"max_tokens": 5, "temperature": 0}


def test_go_on_adds_to_the_answer_in_place(page: Page, thread: str) -> None:
    first = page.asked(thread, n=5)
    more = page.answered(thread, **{"continue": first["id"]}, settings={"max_tokens": 5})
    assert more["id"] == first["id"]
    assert more["content"].startswith(first["content"])
    assert len(more["content"]) > len(first["content"])
    assert len(page.messages(thread)) == 2


def test_a_continued_answer_is_what_it_would_have_been(page: Page, thread: str) -> None:
    settings = {"temperature": 0, "max_tokens": 20}
    whole = page.answered(thread, content="Once upon a time", settings=settings)
    first = page.answered(
        thread, question=whole["parent"], settings={"temperature": 0, "max_tokens": 10}
    )
    more = page.answered(
        thread, **{"continue": first["id"]}, settings={"temperature": 0, "max_tokens": 10}
    )
    assert more["content"] == whole["content"]


def test_going_on_with_an_answer_that_never_began_answers_anew(page: Page, thread: str) -> None:
    failed = page.answered(thread, content="Once upon a time", model="lost")
    settings = {"max_tokens": 5}
    more = page.answered(thread, **{"continue": failed["id"]}, model="stories", settings=settings)
    assert (more["id"], more["state"], more["error"]) == (failed["id"], "done", None)
    assert more["content"]


def test_files_are_a_part_of_the_question(page: Page, thread: str) -> None:
    plain = page.asked(thread, "Sum it up", n=1)["stats"]["n_prompt"]
    files = [{"name": "notes.txt", "text": "word " * 100}]
    answer = page.asked(thread, "Sum it up", parent=None, files=files, n=1)
    assert answer["stats"]["n_prompt"] > plain + 90
    assert page.messages(thread)[-2]["files"] == files


def test_a_schema_shapes_the_answer(page: Page, thread: str) -> None:
    schema = {
        "type": "object",
        "properties": {"old": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["old"],
    }
    answer = page.answered(thread, content="How old?", schema=schema)
    assert answer["schema"] == schema
    assert answer["content"].replace(" ", "").startswith('{"old":')
    assert answer["state"] == "done"


def test_the_schema_of_a_thread_holds_where_the_run_has_none(page: Page) -> None:
    schema = {"type": "integer", "minimum": 0, "maximum": 9}
    thread = page.new_thread(schema=schema, use_schema=True)
    first = page.asked(thread)
    assert (first["schema"], first["content"].strip().isdigit()) == (schema, True)
    assert page.asked(thread, schema=None)["schema"] is None
    page.ok("PATCH", f"/app/threads/{thread}", {"use_schema": False})
    assert page.asked(thread)["schema"] is None
    assert page.answered(thread, **{"continue": first["id"]})["schema"] == schema


def test_a_schema_that_cannot_be_followed_is_an_error_of_the_answer(
    page: Page, thread: str
) -> None:
    answer = page.answered(thread, content="How old?", schema={"type": "nonsense"})
    assert answer["state"] == "error"
    assert answer["error"]["code"] == "invalid_schema"


def test_too_long_is_told_with_numbers(page: Page, thread: str) -> None:
    answer = page.answered(thread, content="word " * 3000)
    assert answer["error"]["code"] == "context_length_exceeded"
    assert answer["error"]["n_ctx"] == 1024
    assert answer["error"]["n_prompt_tokens"] > 3000
    assert len(page.messages(thread)[0]["content"]) == 15000  # the front is never dropped


def test_a_missing_model_is_named_and_the_thread_stays(page: Page, thread: str) -> None:
    first = page.asked(thread)
    lost = page.answered(thread, content="And then", model="lost")
    assert lost["error"]["code"] == "model_not_found"
    assert "'lost'" in lost["error"]["message"]
    assert [m["id"] for m in page.messages(thread)][:2] == [first["parent"], first["id"]]
    again = page.answered(
        thread, question=lost["parent"], model="stories", settings={"max_tokens": 4}
    )
    assert again["state"] == "done"


THINKER = "{{ messages[-1].content }}{% if add_generation_prompt %}<think>{% endif %}"


def test_thinking_is_kept_apart(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"stories={stories}", template=THINKER) as page:
        thread = page.new_thread()
        run = page.begin(thread, content="Once upon a time", settings={"max_tokens": 12})
        events = page.listen(f"/app/runs/{run['run']}/events").until("done")
        thinking = "".join(data["text"] for _, kind, data in events if kind == "thinking")
        answer = events[-1][2]
        assert answer["thinking"] == thinking != ""
        assert answer["content"] == ""
        assert answer["stats"]["n_thinking"] == 12
        path = f"/app/threads/{thread}/messages/{answer['id']}"
        assert page.ok("PATCH", path, {"content": "Yes."})["thinking"] == thinking


@pytest.fixture
def calling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that calls a tool once, and then says something."""
    n_calls = iter(range(100))

    def forced(tools: Any, _choice: str) -> Any:
        return toolset(tools, "required" if next(n_calls) == 0 else "none")

    monkeypatch.setattr(answering, "toolset", forced)


def tools() -> Iterator[llmpy.Tool]:
    def roll() -> int:
        """Roll a die."""
        return 4

    def crash() -> int:
        """Do not."""
        raise OSError("the die is lost")

    yield llmpy.Tool.of(roll)
    yield llmpy.Tool.of(crash)


@pytest.mark.usefixtures("calling")
@pytest.mark.parametrize(("name", "state"), [("roll", "done"), ("crash", "failed")])
def test_a_call_of_a_tool_is_told_and_the_turn_goes_on(
    stories: Path, tmp_path: Path, name: str, state: str
) -> None:
    with app_running(tmp_path, f"stories={stories}", tools=tuple(tools())) as page:
        thread = page.new_thread()
        settings = {"max_tokens": 60, "temperature": 0}
        run = page.begin(thread, content="Roll", tools=[name], settings=settings)
        events = page.listen(f"/app/runs/{run['run']}/events").until("done")
        told = [data for _, kind, data in events if kind == "tool"]
        assert [call["state"] for call in told] == ["running", state]
        (call,) = events[-1][2]["tool_calls"]
        assert call["name"] == name
        assert (call.get("result"), call.get("error")) == (
            ("4", None) if state == "done" else (None, "OSError: the die is lost")
        )
        assert call["seconds"] >= 0
        assert events[-1][2]["state"] == "done"
        assert events[-1][2]["content"]  # what it said after the call
        assert page.asked(thread, "And then", tools=[])["state"] == "done"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": ""},
        {"content": "  \n"},
        {"content": "a", "question": "m_x"},
        {"content": 7},
        {"content": "a", "files": [{"name": "a"}]},
        {"content": "a", "settings": {"temperature": []}},
        {"content": "a", "schema": 1},
        {"content": "a", "tools": "all"},
    ],
)
def test_a_wrong_request_makes_no_message(page: Page, thread: str, body: Any) -> None:
    page.refused("POST", f"/app/threads/{thread}/runs", body)
    assert page.messages(thread) == []


@pytest.mark.parametrize("body", [{"question": "m_x"}, {"continue": "m_x"},
                                  {"content": "a", "parent": "m_x"}])  # fmt: skip
def test_messages_of_no_thread_are_not_found(page: Page, thread: str, body: Any) -> None:
    page.refused("POST", f"/app/threads/{thread}/runs", body, 404)


def test_a_message_of_another_thread_is_not_found(page: Page, thread: str) -> None:
    other = page.asked(page.new_thread())
    body = {"content": "a", "parent": other["id"]}
    page.refused("POST", f"/app/threads/{thread}/runs", body, 404)


def test_an_old_run_is_not_found(page: Page) -> None:
    assert page.refused("GET", "/app/runs/r_none/events", status=404)["code"] == "not_found"
    assert page.refused("POST", "/app/runs/r_none/stop", status=404)["code"] == "not_found"
