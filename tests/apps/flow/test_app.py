"""The page's server: what it answers, runs as streams, and what it refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llmpy.apps.flow import Allowed, Models
from llmpy.apps.flow.app import FlowApp
from llmpy.apps.flow.cache import Cache
from llmpy.server import Server, Settings
from tests.apps.flow.conftest import SECONDS, made, wait_for
from tests.server.conftest import Running
from tests.threads import finish

FLOW: dict[str, Any] = {
    "nodes": [
        {"id": "t", "type": "text", "data": {"text": "x"}},
        {"id": "o", "type": "output"},
    ],
    "edges": [{"source": "t", "sourceHandle": "value", "target": "o", "targetHandle": "value"}],
}


@contextmanager
def flows_running(file: Path, models: Models, **settings: Any) -> Iterator[Running]:
    cache = Cache()
    app = FlowApp(file, models, allowed=Allowed(file.parent, python=True), cache=cache)
    ready = threading.Event()
    checked = Settings(port=0, **settings)
    with Server((), checked, ready=lambda _: ready.set(), extension=app) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert ready.wait(SECONDS)
            running = Running(server, None)  # type: ignore[arg-type]
            yield running
            running.hang_up()
        finally:
            server.stop()
            finish(thread)
            cache.close()
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    models = Models()
    with flows_running(tmp_path_factory.mktemp("flow") / "f.json", models) as running:
        yield running
    models.close()


def events(page: Running, run: str) -> list[tuple[str, Any]]:
    body = page.ask("GET", f"/flow/runs/{run}").body.decode()
    found = []
    for block in filter(None, body.split("\n\n")):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_the_page_and_its_files_are_served_with_a_policy(page: Running) -> None:
    for path, kind in (
        ("/", "text/html"), ("/flow/web/js/main.js", "text/javascript"),
        ("/flow/web/flow.css", "text/css"), ("/web/css/base.css", "text/css"),
    ):  # fmt: skip
        answer = page.ask("GET", path)
        assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, kind)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert page.ask("GET", "/flow/web/../app.py").status == 404
    assert page.ask("POST", "/flow/web/flow.css").status == 405


def test_the_state_has_kinds_and_what_is_off(page: Running) -> None:
    state = page.ask("GET", "/flow/state").json
    assert {"text", "generate", "chart"} <= {kind["name"] for kind in state["kinds"]}
    assert list(state["off"]) == ["http"]
    assert "--allow-http" in state["off"]["http"]
    n_nodes = [example["nodes"] for example in state["examples"]]
    assert len(n_nodes) == 3
    assert n_nodes == sorted(n_nodes)  # the simplest comes first


def test_the_flow_is_kept_in_the_file(page: Running) -> None:
    assert page.ask("POST", "/flow/file", FLOW).status == 200
    found = page.ask("GET", "/flow/file").json
    assert [node["id"] for node in found["nodes"]] == ["t", "o"]
    assert found["edges"][0]["sourceHandle"] == "value"


def test_a_check_has_ports_and_problems(page: Running) -> None:
    wrong = {**FLOW, "nodes": [{"id": "t", "type": "number"}, {"id": "o", "type": "generate"}]}
    wrong["edges"] = [{**FLOW["edges"][0], "targetHandle": "prompt"}]
    found = page.ask("POST", "/flow/check", wrong).json
    assert found["nodes"]["t"]["outputs"] == [{"name": "value", "type": "number", "required": True}]
    assert "it carries a number" in found["edges"]["0"]


def test_a_run_tells_all_that_happens(page: Running) -> None:
    started = page.ask("POST", "/flow/runs", FLOW)
    assert started.status == 201
    found = events(page, started.json["run"])
    done = [what["node"] for kind, what in found if kind == "done"]
    assert done == ["t", "o"]
    assert found[-1] == ("end", {"state": "done"})


def test_a_run_of_some_nodes(page: Running) -> None:
    started = page.ask("POST", "/flow/runs", {**FLOW, "targets": ["t"]})
    found = events(page, started.json["run"])
    assert [what["node"] for kind, what in found if kind == "done"] == ["t"]


SLEEP: dict[str, Any] = {
    "nodes": [
        {"id": "p", "type": "python",
         "data": {"code": "import time\ndef f():\n    time.sleep(600)", "seconds": 900}}
    ]
}  # fmt: skip


def test_a_run_is_stopped(page: Running) -> None:
    run = page.ask("POST", "/flow/runs", SLEEP).json["run"]
    assert page.ask("DELETE", f"/flow/runs/{run}").status == 200
    assert events(page, run)[-1] == ("end", {"state": "stopped"})


def test_who_leaves_stops_the_run(page: Running) -> None:
    run = page.ask("POST", "/flow/runs", SLEEP).json["run"]
    connection = page.connection()
    connection.request("GET", f"/flow/runs/{run}")
    answer = connection.getresponse()
    assert answer.readline()
    answer.close()
    connection.close()
    wait_for(lambda: events(page, run)[-1] == ("end", {"state": "stopped"}))


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/flow/runs", {"nodes": 3}, 400, "nodes: expected `array`"),
        ("POST", "/flow/runs", {**FLOW, "targets": "t"}, 400, "targets: expected a list of ids"),
        ("POST", "/flow/runs", {**FLOW, "targets": ["z"]}, 400, "there is no node 'z'"),
        ("POST", "/flow/runs", {"nodes": [{"id": "o", "type": "output"}]}, 400, "has no wire"),
        ("POST", "/flow/check", {"nodes": [{}]}, 400, "missing required field"),
        ("POST", "/flow/read", {"nope": 1}, 400, "expected an object"),
        ("POST", "/flow/file", {"nodes": [{"id": "a"}]}, 400, "missing required field"),
        ("GET", "/flow/runs/zzz", None, 404, "there is no run"),
        ("GET", "/flow/examples/..", None, 404, "there is no example"),
        ("GET", "/flow/nothing", None, 404, "there is nothing"),
        ("DELETE", "/flow/file", None, 405, "takes GET, POST"),
    ],
)
def test_what_is_wrong_is_refused(
    page: Running, method: str, path: str, body: Any, status: int, said: str
) -> None:
    answer = page.ask(method, path, body)
    assert answer.status == status
    assert said in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Host": "evil.example"}],
)
def test_pages_of_others_are_refused(page: Running, headers: dict[str, str]) -> None:
    assert page.ask("POST", "/flow/runs", FLOW, **headers).status == 403


def test_a_file_that_is_no_flow_is_said_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    file.write_text("{broken")
    models = Models()
    with flows_running(file, models) as running:
        answer = running.ask("GET", "/flow/file")
        assert (answer.status, "expected JSON" in answer.json["error"]["message"]) == (422, True)
    models.close()
    assert file.read_text() == "{broken"


def test_with_a_key_only_the_page_itself_is_open(tmp_path: Path) -> None:
    models = Models()
    with flows_running(tmp_path / "f.json", models, keys=("secret",)) as running:
        assert running.ask("GET", "/").status == 200
        assert running.ask("GET", "/flow/state").status == 401
        assert running.ask("POST", "/flow/runs", FLOW).status == 401
        key = {"Authorization": "Bearer secret"}
        assert running.ask("GET", "/flow/state", **key).status == 200
    models.close()


def test_long_values_are_cut_for_the_page(page: Running) -> None:
    text = "x" * 300_000
    flow = made({"t": ("text", {"text": text})})
    body = {"nodes": [{"id": n.id, "type": n.type, "data": n.data} for n in flow.nodes]}
    found = events(page, page.ask("POST", "/flow/runs", body).json["run"])
    value = next(what for kind, what in found if kind == "done")["data"]["values"]["value"]
    assert value.endswith("… (300000 characters)")
    assert len(value) < 200_100
