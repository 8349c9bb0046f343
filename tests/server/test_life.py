"""Answers beside each other: hanging up, waiting, other load, and the end of the server."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy.server import Server, Settings
from tests.server.conftest import SECONDS, Running, serving
from tests.threads import finish

CHAT = "/v1/chat/completions"
LONG = "A dog and a cat went to the market to buy some bread. " * 240  # of SmolLM2, 3000 tokens


def request(text: str = "Tell me a story.", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "seed": 1, "max_tokens": 8, **more}


def endless(text: str = "Tell me a story.") -> dict[str, Any]:
    """A request whose answer ends only where the context is full."""
    return request(text, max_tokens=None, logit_bias={"1": -100, "2": -100}, stream=True)


def test_hanging_up_while_it_is_generated_frees_the_place(server: Running) -> None:
    stream = server.open_stream(CHAT, endless())
    stream.line()
    server.wait_until(lambda: server.decoder.n_active == 1)
    stream.close()
    server.wait_until(lambda: server.decoder.n_active == 0, 5)
    assert server.logged(lambda line: line.get("gone", False))["path"] == CHAT


def test_hanging_up_without_a_stream_frees_the_place(chat_server: Running) -> None:
    connection = chat_server.open_stream(CHAT, {**endless(), "stream": False})
    chat_server.wait_until(lambda: chat_server.decoder.n_active == 1)
    connection.close()
    chat_server.wait_until(lambda: chat_server.decoder.n_active == 0, 5)


def test_hanging_up_while_the_prompt_is_read_ends_reading(chat_server: Running) -> None:
    stream = chat_server.open_stream(CHAT, endless(LONG))
    chat_server.wait_until(lambda: chat_server.decoder.n_active == 1)
    generation = chat_server.decoder._active[0]
    chat_server.wait_until(lambda: generation.n_read > 0)
    stream.close()
    chat_server.wait_until(lambda: chat_server.decoder.n_active == 0, 5)
    assert 0 < generation.n_read < 2000 < generation.n_prompt


def test_many_that_hang_up_leave_nothing_behind(server: Running) -> None:
    alone = server.post(CHAT, request(max_tokens=24)).json["choices"]
    for i in range(100):
        stream = server.open_stream(CHAT, endless())
        if i % 2:
            stream.line()
        stream.close()
    assert server.post(CHAT, request(max_tokens=24)).json["choices"] == alone
    server.wait_until(lambda: server.decoder.n_active == server.decoder.n_waiting == 0)
    state = server.server.app.state
    assert state is not None
    server.wait_until(lambda: not state.streams)
    server.wait_until(lambda: all(not o.n_users for o in state.models.offers.values()))


def test_a_stream_gives_a_sign_of_life_while_the_prompt_is_read(chat_server: Running) -> None:
    begin = time.monotonic()
    stream = chat_server.open_stream(CHAT, endless(LONG * 2))
    lines = [stream.line()]
    assert time.monotonic() - begin < 2
    lines += [stream.line() for _ in range(4)]
    stream.close()
    signs = [line for line in lines if line.startswith(b": reading ")]
    assert signs, lines
    chat_server.wait_until(lambda: chat_server.decoder.n_active == 0, 5)


def test_a_long_prompt_does_not_keep_others_waiting(chat_server: Running) -> None:
    text = "One more story. " + LONG * 2  # of which the prefix cache has nothing
    stream = chat_server.open_stream(CHAT, endless(text))
    chat_server.wait_until(lambda: chat_server.decoder.n_active == 1)
    reading = chat_server.decoder._active[0]
    assert chat_server.post(CHAT, request(max_tokens=1)).status == 200
    assert reading.n_read < reading.n_prompt
    stream.close()
    chat_server.wait_until(lambda: chat_server.decoder.n_active == 0, 5)


def test_the_same_request_gets_the_same_answer_whatever_else_is_asked(server: Running) -> None:
    def ask(i: int) -> Any:
        if i % 3:
            asked = request("Other " * (i + 1), seed=i, n=1 + i % 4, max_tokens=5 + i)
            assert server.post(CHAT, asked).status == 200
            return None
        return server.post(CHAT, request(max_tokens=24, logprobs=True)).json["choices"]

    alone = server.post(CHAT, request(max_tokens=24, logprobs=True)).json["choices"]
    with ThreadPoolExecutor(12) as threads:
        found = [choices for choices in threads.map(ask, range(36)) if choices]
    assert len(found) == 12
    assert all(choices == alone for choices in found)


def test_a_reader_that_takes_nothing_holds_nobody_up(server: Running) -> None:
    streams = [server.open_stream(CHAT, endless()) for _ in range(8)]
    server.wait_until(lambda: server.decoder.n_active == 8)
    assert server.post(CHAT, request()).status == 200
    server.wait_until(lambda: server.decoder.n_active == 0)
    texts = {stream.answer.read().count(b"data: ") for stream in streams}
    assert len(texts) == 1
    for stream in streams:
        stream.close()


def test_a_client_that_takes_nothing_for_long_is_let_go(stories: Path) -> None:
    settings: dict[str, Any] = {"template": "chatml", "send_seconds": 0.5}
    with serving(str(stories), **settings) as running:
        body = json.dumps({**endless(), "logprobs": True, "top_logprobs": 20, "n": 4}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        host, port = running.address.rsplit(":", 1)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, int(port)))
            client.sendall(head.encode() + body)
            assert running.logged(lambda line: line.get("gone", False))["path"] == CHAT
            running.wait_until(lambda: running.decoder.n_active == 0)


def test_an_answer_that_runs_ends_before_the_server_does(stories: Path) -> None:
    with serving(str(stories), template="chatml") as running:
        stream = running.open_stream(CHAT, endless())
        stream.line()
        running.server.stop()
        assert stream.answer.read().endswith(b"data: [DONE]\n\n")
        stream.close()


def test_a_model_that_cannot_be_loaded_ends_the_start(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF\x03\x00\x00\x00")
    with Server([str(damaged)], Settings(port=0)) as server, pytest.raises(llmpy.ModelFileError):
        server.run()


def test_an_address_that_is_taken_is_named(server: Running, stories: Path) -> None:
    port = int(server.address.rsplit(":", 1)[1])
    with pytest.raises(OSError, match=f"127.0.0.1 port {port}"):
        Server([str(stories)], Settings(port=port))


def test_what_nobody_foresaw_is_a_500_with_its_reason_in_the_log_only(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("llmpy.server.decoder.Decoder.submit", fail)
    answer = server.post(CHAT, request())
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "secret" in server.logged(lambda line: "failed" in line)["failed"]


def test_an_error_of_one_answer_leaves_the_others_alone(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmpy.server.generation import Generation

    take = Generation.take

    def fail_once(self: Generation, work: Any) -> Any:
        if self.prompt.max_tokens == 9:
            raise llmpy.OutOfMemory("no pages are left")
        return take(self, work)

    monkeypatch.setattr(Generation, "take", fail_once)
    with ThreadPoolExecutor(4) as threads:
        asked = [request(max_tokens=8 + i % 2, stream=i > 1) for i in range(4)]
        answers = list(threads.map(lambda body: server.post(CHAT, body), asked))
    assert [answer.status for answer in answers] == [200, 503, 200, 200]
    assert answers[3].events[-1]["error"]["message"] == "no pages are left"
    assert answers[2].body.endswith(b"data: [DONE]\n\n")
    server.wait_until(lambda: server.decoder.n_active == 0)


def test_an_event_that_cannot_be_written_ends_that_stream_only(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmpy.server.api.openai_chat import Answer

    write = Answer._events

    def fail_at_token_4(self: Answer, generation: Any, pieces: Any) -> bytes:
        if self._request.max_tokens == 9 and generation.n_generated >= 4:
            raise llmpy.OutOfMemory("it cannot be written")
        return write(self, generation, pieces)

    monkeypatch.setattr(Answer, "_events", fail_at_token_4)
    with ThreadPoolExecutor(4) as threads:
        asked = [request(max_tokens=8 + i % 2, stream=True) for i in range(4)]
        answers = list(threads.map(lambda body: server.post(CHAT, body), asked))
    for i, answer in enumerate(answers):
        failed = answer.events[-1].get("error", {}).get("message")
        assert failed == ("it cannot be written" if i % 2 else None)
    server.wait_until(lambda: server.decoder.n_active == 0)


def test_streams_of_one_connection_follow_each_other(server: Running) -> None:
    connection = server.connection()
    for seed in (1, 2, 1):
        body = json.dumps(request(seed=seed, stream=True))
        connection.request("POST", CHAT, body)
        with connection.getresponse() as answer:
            text = answer.read()
        told = server.post(CHAT, request(seed=seed)).json["choices"][0]["message"]["content"]
        lines = [json.loads(line[6:]) for line in text.split(b"\n\n") if b"{" in line]
        deltas = [line["choices"][0]["delta"].get("content", "") for line in lines]
        assert "".join(deltas) == told


def test_a_stream_for_a_client_of_http_1_0_has_no_chunks(server: Running) -> None:
    body = json.dumps(request(stream=True)).encode()
    head = f"POST {CHAT} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = server.send(head.encode() + body)
    told, text = answer.split(b"\r\n\r\n", 1)
    assert b"chunked" not in told
    assert all(line.startswith((b"data: ", b": ")) for line in text.strip().split(b"\n\n"))
    assert text.endswith(b"data: [DONE]\n\n")


def test_numbers_are_told_as_prometheus_reads_them(server: Running) -> None:
    server.post(CHAT, request())
    text = server.ask("GET", "/metrics").body.decode()
    assert f'llmpy_requests_total{{path="{CHAT}",status="200"}}' in text
    assert 'llmpy_generated_tokens_total{model="stories"}' in text
    for line in text.splitlines():
        assert line.startswith("# TYPE ") or float(line.rsplit(" ", 1)[1]) >= 0


def test_a_log_that_cannot_be_written_stops_nothing(stories: Path) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError("no space left")

    ready = threading.Event()
    settings = Settings(port=0, template="chatml")
    with Server([str(stories)], settings, log=Full(), ready=lambda _: ready.set()) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        assert ready.wait(SECONDS)
        running = Running(server, io.StringIO())
        assert [running.ask("GET", "/health").status for _ in range(2)] == [200, 200]
        server.stop()
        finish(thread)
