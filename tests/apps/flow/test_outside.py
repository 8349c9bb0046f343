"""Python functions in their process, and HTTP GET: off, allowed, and within limits."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy.apps.flow import Allowed, Execution, FlowError, Models, fetching
from llmpy.apps.flow.subprocesses import Limits, call
from tests.apps.flow.conftest import SECONDS, Done, made
from tests.threads import finish

ON = Allowed(Path(), python=True)
UNIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")


def ran(code: str, name: str = "f", seconds: float = 20, megabytes: int = 512, **given: Any) -> Any:
    limits = Limits(seconds, megabytes << 20)
    return call(code, name, given, limits, lambda: None, lambda _: None)


def test_python_is_off_until_it_is_allowed() -> None:
    flow = made({"t": ("text", {"text": "x"}), "p": "python"}, "t.value -> p.text")
    with pytest.raises(FlowError, match=r"Python functions are off: .*--allow-python"):
        Done(flow)


def test_a_map_cannot_run_python_either() -> None:
    data = {"then": "python", "each": {}}
    flow = made({"l": ("list", {"lines": "a"}), "m": ("map", data)}, "l.items -> m.items")
    with pytest.raises(FlowError, match="Python functions are off"):
        Done(flow)


def test_a_function_gets_its_inputs_and_its_print_is_shown() -> None:
    code = "def f(a: str, n: float) -> list[str]:\n    print('seen')\n    return [a] * n"
    nodes = {"t": ("text", {"text": "x"}), "n": ("number", {"number": 2}), "p": ("python", {"code": code})}  # fmt: skip  # noqa: E501
    done = Done(made(nodes, "t.value -> p.a", "n.value -> p.n"), allowed=ON)
    assert done["p"] == ["x", "x"]
    assert [e.data for e in done.events if e.kind == "text"] == ["seen\n"]


def test_a_map_runs_a_function_for_each_item() -> None:
    code = "def f(word: str) -> float:\n    return len(word)"
    data = {"then": "python", "each": {"code": code}, "parallel": 2}
    flow = made({"l": ("list", {"lines": "a\nbcd"}), "m": ("map", data)}, "l.items -> m.items")
    assert Done(flow, allowed=ON)["m"] == [1, 3]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def f():\n    return 1 / 0", "ZeroDivisionError: division by zero (line 2)"),
        ("def f():\n    return {1, 2}", "TypeError"),
        ("def f():\n    return float('nan')", "ValueError"),
        ("def f():\n    raise SystemExit(3)", "SystemExit: 3"),
        ("import os\ndef f():\n    os._exit(3)", "ended with exit code 3, without a result"),
        ("import os\ndef f():\n    os.kill(os.getpid(), 9)", "by signal 9"),
        ("def f(): return f()", "RecursionError"),
        ("import no_such_module\ndef f(): pass", "No module named 'no_such_module' (line 1)"),
    ],
)
def test_errors_of_a_function_say_the_line(code: str, said: str) -> None:
    with pytest.raises(FlowError) as raised:
        ran(code)
    assert said in str(raised.value)


def test_a_function_that_takes_too_long_is_ended() -> None:
    with pytest.raises(FlowError, match=r"took more than 0\.5 seconds"):
        ran("def f():\n    while True: pass", seconds=0.5)


@UNIX
def test_a_function_that_takes_too_much_memory_is_ended() -> None:
    with pytest.raises(FlowError, match="MB"):
        ran("def f():\n    return len(bytearray(1 << 30))", megabytes=256)


@UNIX
def test_a_function_that_prints_without_end_is_ended() -> None:
    code = "def f():\n    while True: print('x' * 100000)"
    with pytest.raises(FlowError):
        ran(code)


@UNIX
def test_what_a_function_starts_ends_with_it(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    child = (
        "import time\nfor i in range(10**6):\n"
        f"    open({str(beat)!r}, 'w').write(str(i))\n    time.sleep(0.02)"
    )
    code = (
        "import os, subprocess, sys, time\ndef f(child: str, beat: str):\n"
        "    subprocess.Popen([sys.executable, '-c', child])\n"
        "    while not os.path.exists(beat): time.sleep(0.01)\n    return 1"
    )
    assert ran(code, child=child, beat=str(beat), seconds=SECONDS) == 1
    last = beat.read_text()
    time.sleep(0.5)
    assert beat.read_text() == last


def test_a_function_sees_no_environment_and_an_empty_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLMPY_SECRET", "1")
    code = "import os\ndef f():\n    return ['LLMPY_SECRET' in os.environ, os.listdir('.')]"
    assert ran(code) == [False, []]


def test_stopping_a_flow_ends_the_process() -> None:
    code = "import time\ndef f():\n    time.sleep(600)"
    models = Models()
    execution = Execution(
        made({"p": ("python", {"code": code, "seconds": 900})}), models, allowed=ON
    )
    threading.Timer(0.5, execution.cancel).start()
    began = time.monotonic()
    with pytest.raises(llmpy.Cancelled):
        execution.run()
    models.close()
    assert time.monotonic() - began < SECONDS


# HTTP


class Handler(BaseHTTPRequestHandler):
    """Answers what the path says."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("Content-Type", "text/plain; charset=latin-1")
        self.end_headers()
        data = b"x" * (9 << 20) if self.path == "/big" else b"caf\xe9"
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Quiet(ThreadingHTTPServer):
    """A server that does not mind clients that hang up."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with Quiet(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        finish(thread)


def got(url: str, *hosts: str) -> tuple[str, int]:
    return fetching.get(url, hosts, SECONDS, lambda: None)


def test_http_is_off_until_a_host_is_allowed(web: str) -> None:
    flow = made({"t": ("text", {"text": web}), "h": "http"}, "t.value -> h.url")
    with pytest.raises(FlowError, match=r"HTTP is off: .*--allow-http HOST"):
        Done(flow)
    done = Done(flow, allowed=Allowed(Path(), hosts=("127.0.0.1",)))
    assert done["h"] == {"text": "café", "status": 200}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/gone", "the server answered 404"),
        ("/big", "expected up to 8388608 bytes"),
        ("/to/http://localhost:1/", "the host 'localhost' is not allowed"),
        ("/to/file:///etc/passwd", "is not allowed"),
    ],
)
def test_answers_that_are_not_taken_are_one_line(web: str, path: str, said: str) -> None:
    with pytest.raises(FlowError) as raised:
        got(web + path, "127.0.0.1")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "expected http:// or https:// and a host"),
        ("http://", "expected http:// or https:// and a host"),
        ("http://[", "url: "),
        ("http://example.org@other.example/", "the host 'other.example' is not allowed"),
        ("http://example.org.evil.example/", "is not allowed"),
        ("http://127.0.0.1:1/", "is not allowed"),
    ],
)
def test_addresses_that_are_not_allowed_are_not_asked(url: str, said: str) -> None:
    with pytest.raises(FlowError) as raised:
        got(url, "example.org")
    assert said in str(raised.value)


def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(FlowError, match=r"^http://127\.0\.0\.1:1/: "):
        got("http://127.0.0.1:1/", "*")


def test_a_redirect_to_an_allowed_host_is_followed(web: str) -> None:
    assert got(f"{web}/to/{web}/x", "127.0.0.1") == ("café", 200)
