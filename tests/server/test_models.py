"""Several models: loaded when they are asked for, unloaded when room is needed, `ps` and `stop`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llmpy.errors import ModelFileError, OutOfMemory
from llmpy.server.models import offers_of
from tests.server.conftest import Running, serving
from tests.threads import finish

CHAT = "/v1/chat/completions"


def request(model: str, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": "Tell me a story."}
    return {"model": model, "messages": [message], "seed": 1, "max_tokens": 4, **more}


def endless(model: str) -> dict[str, Any]:
    return request(model, max_tokens=None, logit_bias={"1": -100, "2": -100}, stream=True)


def loaded(running: Running) -> set[str]:
    return {model["name"] for model in running.ask("GET", "/api/ps").json["models"]}


@pytest.fixture
def two(stories: Path) -> Iterator[Running]:
    """A server of two models, of which one fits at a time."""
    size = stories.stat().st_size
    with serving(f"a={stories}", f"b={stories}", memory=size * 3 // 2, template="chatml") as found:
        yield found


def test_names_are_those_that_were_given_or_those_of_files(stories: Path, tmp_path: Path) -> None:
    strange = tmp_path / "a=b.gguf"
    strange.write_bytes(b"")
    found = offers_of([stories, f"mine={stories}", strange])
    assert list(found) == ["stories260K", "mine", "a=b"]
    with pytest.raises(ValueError, match="two are named 'mine'"):
        offers_of([f"mine={stories}", f"mine={strange}"])
    with pytest.raises(ModelFileError, match="nowhere"):
        offers_of(["x=nowhere.gguf"])


def test_a_model_is_loaded_when_it_is_asked_for_and_makes_room(two: Running) -> None:
    assert loaded(two) == {"a"}
    answers = [two.post(CHAT, request(name)).json for name in ("a", "b", "a")]
    assert [answer["model"] for answer in answers] == ["a", "b", "a"]
    assert loaded(two) == {"a"}
    assert answers[0]["choices"] == answers[1]["choices"] == answers[2]["choices"]


def test_a_load_waits_for_answers_of_the_model_that_makes_room(two: Running) -> None:
    stream = two.open_stream(CHAT, endless("a"))
    stream.line()
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(two.post, CHAT, request("b"))
        assert stream.answer.read().endswith(b"[DONE]\n\n")
        assert other.result().status == 200
    stream.close()


def test_who_asks_for_a_model_that_leaves_comes_after_who_wants_its_room(two: Running) -> None:
    order = list[str]()
    stream = two.open_stream(CHAT, endless("a"))
    stream.line()

    def ask(name: str) -> None:
        assert two.post(CHAT, request(name)).status == 200
        order.append(name)

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("b", "a")]
    state: Any = two.server.app.state
    threads[0].start()
    two.wait_until(lambda: bool(state.models.offers["a"].leaving))
    threads[1].start()
    stream.answer.read()
    finish(*threads)
    assert order == ["b", "a"]
    stream.close()


def test_a_model_that_no_room_is_for_is_a_503_with_numbers(stories: Path, smollm2: Path) -> None:
    with serving(f"a={stories}", f"big={smollm2}", memory=10_000_000, template="chatml") as found:
        answer = found.post(CHAT, request("big"))
        assert answer.status == 503
        error = answer.json["error"]
        assert error["bytes_needed"] == smollm2.stat().st_size > error["bytes_free"] == 10_000_000
        assert found.post(CHAT, request("a")).status == 200


@pytest.mark.parametrize("fits", [True, False])
def test_memory_that_is_missing_is_taken_from_idle_models_or_told(
    stories: Path, monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    from llmpy.server import models as module

    aload = module.aload

    async def load(*arguments: Any, **options: Any) -> Any:
        if not fits or loaded_now():
            raise OutOfMemory("9 GB are needed and 1 GB is free")
        return await aload(*arguments, **options)

    def loaded_now() -> bool:
        state: Any = found.server.app.state
        return any(offer.loaded for offer in state.models.offers.values())

    with serving(f"a={stories}", f"b={stories}", template="chatml") as found:
        monkeypatch.setattr(module, "aload", load)
        answer = found.post(CHAT, request("b"))
        assert answer.status == (200 if fits else 503)
        if fits:
            assert loaded(found) == {"b"}
        else:
            assert "9 GB are needed" in answer.json["error"]["message"]
            assert "retry-after" in answer.headers
        monkeypatch.undo()
        assert found.post(CHAT, request("a")).status == 200


def test_a_model_that_cannot_be_loaded_is_told_and_the_others_live(
    stories: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(stories.read_bytes()[:100_000])
    with serving(f"a={stories}", f"bad={damaged}", template="chatml") as found:
        for _ in range(2):
            assert found.post(CHAT, request("bad")).status == 500
        assert found.post(CHAT, request("a")).status == 200


def test_a_model_that_nobody_uses_leaves_after_its_time(stories: Path) -> None:
    with serving(str(stories), keep_alive=0.2, template="chatml") as found:
        found.wait_until(lambda: not loaded(found), 10)
        assert found.post(CHAT, request("stories260K")).status == 200


def llmpy(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llmpy", *arguments, "--url", running.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_ps_shows_what_is_loaded_and_stop_unloads_it(two: Running) -> None:
    assert llmpy(two, "ps").stdout.startswith("a  0.00 GB  0 active  stays")
    assert json.loads(llmpy(two, "ps", "--json").stdout)[0]["name"] == "a"
    assert llmpy(two, "stop", "a").returncode == 0
    two.wait_until(lambda: not loaded(two), 10)
    assert llmpy(two, "ps").stdout == "no model is loaded\n"
    wrong = llmpy(two, "stop", "c")
    assert wrong.returncode == 1
    assert "no model 'c'" in wrong.stderr


def test_ps_says_where_no_server_is() -> None:
    command = [sys.executable, "-m", "llmpy", "ps", "--url", "http://127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("llmpy: no server answers at http://127.0.0.1:1: ")


def test_stopping_waits_for_the_answers_of_a_model(two: Running) -> None:
    stream = two.open_stream(CHAT, endless("a"))
    stream.line()
    assert two.post("/api/generate", {"model": "a", "keep_alive": 0}).status == 200
    assert stream.answer.read().endswith(b"[DONE]\n\n")
    two.wait_until(lambda: not loaded(two), 10)
    stream.close()


def test_an_idle_server_takes_no_time(stories: Path) -> None:
    with serving(str(stories)) as found:
        found.ask("GET", "/health")
        begin = time.process_time()
        time.sleep(2)
        assert time.process_time() - begin < 0.2  # of one core, a tenth; usual is a hundredth
