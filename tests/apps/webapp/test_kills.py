"""Killed in mid-stream, again and again: nothing that was shown is lost."""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmpy.apps.webapp.store import Store

WORKER = Path(__file__).with_name("worker.py")
SECONDS = 120


def ask(address: str, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection(address, timeout=SECONDS)
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return found


def shown_before_a_kill(stories: Path, folder: Path, thread: str | None, events: int) -> Any:
    """Ask a question, read so many events of the answer, and kill the process: what was shown."""
    process = subprocess.Popen(
        [sys.executable, str(WORKER), str(stories), str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip().removeprefix("http://")
        thread = thread or ask(address, "POST", "/app/threads", {})["id"]
        question = f"Question {random.random()}"
        body = {"content": question, "parent": None, "settings": {"max_tokens": 100_000}}
        run = ask(address, "POST", f"/app/threads/{thread}/runs", body)
        connection = http.client.HTTPConnection(address, timeout=SECONDS)
        connection.request("GET", f"/app/runs/{run['run']}/events")
        stream = connection.getresponse()
        text, kind = "", ""
        while events > 0 and (line := stream.readline().decode()):
            if line.startswith("event: "):
                kind = line[7:].strip()
                events -= 1
            elif line.startswith("data: ") and kind == "text":
                text += json.loads(line[6:])["text"]
            elif line.startswith("data: ") and kind == "done":
                break
        process.kill()
        connection.close()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    return thread, run["answer"]["id"], question, text


def check_kills(stories: Path, folder: Path, n: int) -> None:
    chance = random.Random(n)
    thread, shown = None, dict[str, tuple[str, str]]()
    for _ in range(n):
        thread, answer, question, text = shown_before_a_kill(
            stories, folder, thread, chance.randint(2, 60)
        )
        shown[answer] = (question, text)
        with Store(folder / "chats.db") as store:
            messages = {m["id"]: m for m in store.messages(thread)}
        for id, (said, seen) in shown.items():
            assert messages[id]["content"].startswith(seen)
            assert messages[messages[id]["parent"]]["content"] == said
        assert messages[answer]["state"] in ("stopped", "done")
        if messages[answer]["state"] == "stopped":
            assert messages[answer]["error"]["code"] == "interrupted"
    assert any(seen for _, seen in shown.values())


def test_three_kills_lose_nothing_that_was_shown(stories: Path, tmp_path: Path) -> None:
    check_kills(stories, tmp_path, 3)


@pytest.mark.full
def test_100_kills_lose_nothing_that_was_shown(stories: Path, tmp_path: Path) -> None:
    check_kills(stories, tmp_path, 100)
