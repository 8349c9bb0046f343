"""Who is let in, and what a request may take: keys, hosts, origins, sizes, times, queues."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llmpy.server import Settings
from tests.server.conftest import Running, serving

CHAT = "/v1/chat/completions"
KEY = "sk-right"


def request(**more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": "Tell me a story."}
    return {"messages": [message], "seed": 1, "max_tokens": 4, **more}


@pytest.fixture(scope="module")
def locked(stories: Path) -> Iterator[Running]:
    """A server with keys, small limits and little patience."""
    settings: dict[str, Any] = {
        "keys": ("sk-other", KEY),
        "allow_origins": ("https://app.example",),
        "allow_hosts": ("llm.example",),
        "max_body": 20_000,
        "receive_seconds": 0.5,
        "template": "chatml",
    }
    with serving(str(stories), **settings) as running:
        yield running


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_other_machines_need_a_key_or_to_be_let_in_by_name(host: str) -> None:
    with pytest.raises(ValueError, match="--insecure"):
        Settings(host=host)
    assert Settings(host=host, keys=("k",)).keys == ("k",)
    assert Settings(host=host, insecure=True).insecure


@pytest.mark.parametrize("keys", [("",), (" ",), ("ключ",)])
def test_a_key_that_no_client_could_send_is_refused(keys: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="keys: number 0"):
        Settings(keys=keys)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY}"},
        {"X_Api_Key": KEY},
        {"Api_Key": KEY},
    ],
    ids=str,
)
def test_a_key_is_taken_where_clients_send_it(locked: Running, headers: dict[str, str]) -> None:
    assert locked.post(CHAT, request(), **headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": KEY},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {KEY}"},
        {"X_Api_Key": ""},
        {"X_Api_Key": "ü"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/metrics", "/nowhere"])
def test_without_the_key_nothing_is_told(
    locked: Running, headers: dict[str, str], path: str
) -> None:
    answer = locked.post(path, request(), **headers)
    assert answer.status == 401
    assert answer.json["error"]["code"] == "invalid_api_key"
    assert KEY not in answer.body.decode()


def test_whether_it_lives_is_told_without_a_key(locked: Running) -> None:
    answer = locked.ask("GET", "/health")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8080"])
def test_another_name_for_this_machine_is_refused(server: Running, host: str) -> None:
    answer = server.ask("GET", "/v1/models", Host=host)
    assert answer.status == 403
    assert "--allow-host" in answer.json["error"]["message"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80", "10.1.2.3"])
def test_names_and_addresses_of_this_machine_are_let_in(server: Running, host: str) -> None:
    assert server.ask("GET", "/v1/models", Host=host).status == 200


def test_a_name_that_was_allowed_is_let_in(locked: Running) -> None:
    answer = locked.ask("GET", "/v1/models", Host="llm.example:443", X_Api_Key=KEY)
    assert answer.status == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://", "http://["]
)
def test_pages_of_other_origins_are_refused(server: Running, origin: str) -> None:
    for method in ("POST", "OPTIONS"):
        answer = server.ask(method, CHAT, request(), Origin=origin)
        assert answer.status == 403
        assert "--allow-origin" in answer.json["error"]["message"]
        assert "access-control-allow-origin" not in answer.headers


def test_pages_of_the_server_itself_are_let_in(server: Running) -> None:
    answer = server.post(CHAT, request(), Origin=server.url)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == server.url


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/api/chat", "/v1/messages", "/health"])
def test_a_preflight_of_an_origin_that_is_allowed(locked: Running, path: str) -> None:
    answer = locked.ask(
        "OPTIONS",
        path,
        Origin="https://app.example",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization, content-type, x-stainless-os",
        Access_Control_Request_Private_Network="true",
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "x-stainless-os" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-private-network"] == "true"


def test_an_error_is_readable_for_pages_that_are_allowed(locked: Running) -> None:
    answer = locked.post(CHAT, {}, Origin="https://app.example", X_Api_Key=KEY)
    assert answer.status == 400
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/chat/completions/", "/v2/models", "/%00"])
def test_an_unknown_path_is_not_found(server: Running, path: str) -> None:
    answer = server.ask("GET", path)
    assert answer.status == 404
    assert answer.json["error"].keys() == {"message", "type", "param", "code"}


def test_a_wrong_method_is_told_which_are_right(server: Running) -> None:
    answer = server.ask("GET", CHAT)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.json["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"{'a': 1}",
        b'{"messages": NaN}',
        b"\xff\xfe",
        b'{"a": "\\ud800"}',
        b'{"temperature": 1e999}',
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b"[" * 9000,
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"max_tokens": 123456789012345678901234567890}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_request_is_a_400(server: Running, body: bytes) -> None:
    answer = server.post(CHAT, body)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"


def test_a_request_that_is_too_large_is_refused_unread(locked: Running) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {KEY}\r\n"
    length = locked.send(f"{head}Content-Length: 1000000\r\n\r\n".encode())
    assert length.startswith(b"HTTP/1.1 413")
    chunk = b"2710\r\n" + b"x" * 10000 + b"\r\n"
    chunks = locked.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + 3 * chunk)
    assert chunks.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v1", f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nX-A: ".encode()],
    ids=len,
)
def test_a_head_that_does_not_come_ends_the_connection(locked: Running, sent: bytes) -> None:
    begin = time.monotonic()
    locked.send(sent)
    assert time.monotonic() - begin < 10


def test_a_second_head_that_does_not_come_ends_the_connection(locked: Running) -> None:
    connection = locked.connection()
    connection.request("GET", "/health")
    assert connection.getresponse().read()
    begin = time.monotonic()
    connection.sock.sendall(b"GET /heal")
    assert connection.sock.recv(1) == b""
    assert time.monotonic() - begin < 4  # an idle connection would stay for five
    connection.close()


def test_a_body_that_does_not_come_is_a_408(locked: Running) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {KEY}\r\nContent-Length: 9\r\n"
    answer = locked.send(f"{head}\r\n{{".encode())
    assert answer.startswith(b"HTTP/1.1 408")


def test_what_is_no_http_is_a_400(server: Running) -> None:
    assert server.send(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_more_than_the_queue_holds_is_told_to_come_back(stories: Path) -> None:
    settings: dict[str, Any] = {"n_parallel": 1, "n_queue": 2, "template": "chatml"}
    with serving(str(stories), **settings) as running:
        long = request(max_tokens=1500, logit_bias={"2": -100, "1": -100})
        streams = [running.open_stream(CHAT, long)]
        running.wait_until(lambda: running.decoder.n_active == 1)
        streams += [running.open_stream(CHAT, long) for _ in range(2)]
        running.wait_until(lambda: running.decoder.n_waiting == 2)
        answer = running.post(CHAT, request())
        assert answer.status == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.json["error"]["type"] == "rate_limit_error"
        streams[1].close()  # one that waits hangs up
        running.wait_until(lambda: running.decoder.n_waiting == 1)
        for stream in streams:
            stream.close()
        running.wait_until(lambda: running.decoder.n_active == 0)


def test_many_clients_of_one_place_are_all_answered(stories: Path) -> None:
    one_place: dict[str, Any] = {"n_parallel": 1, "template": "chatml"}
    with serving(str(stories), **one_place) as running, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: running.post(CHAT, request()), range(8)))
    texts = {json.dumps(answer.json["choices"]) for answer in answers}
    assert len(texts) == 1
