"""`llmpy serve` as a process: what it says, its signals, its options."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "llmpy", "serve"]


def started(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "--port", "0", *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("llmpy: serving on http://127.0.0.1:"), line
    return line.split()[-1]


def fetched(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return json.load(answer)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_ends_it_well(stories: Path, number: signal.Signals) -> None:
    with started("-m", stories) as process:
        assert fetched(url_of(process) + "/v1/models")["data"][0]["id"] == "stories260K"
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stderr is not None
        line = json.loads(process.stderr.read())
        assert (line["path"], line["status"]) == ("/v1/models", 200)


@pytest.mark.parametrize("given", ["option", "file", "environment"])
def test_a_key_may_be_given_in_three_ways(stories: Path, tmp_path: Path, given: str) -> None:
    file = tmp_path / "keys"
    file.write_text("sk-one\nsk-two\n", encoding="utf-8")
    options = {
        "option": ("--api-key", "sk-one", "--api-key", "sk-two"),
        "file": ("--api-key-file", file),
        "environment": (),
    }[given]
    environment = {"LLMPY_API_KEY": "sk-one sk-two"} if given == "environment" else {}
    with started("-m", stories, "--access-log", "", *options, **environment) as process:
        url = url_of(process)
        with pytest.raises(urllib.error.HTTPError, match="401") as caught:
            fetched(url + "/v1/models")
        caught.value.close()
        assert fetched(url + "/v1/models", Authorization="Bearer sk-two")["data"]
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "--insecure"),
        (("-m", "nowhere.gguf"), "nowhere.gguf"),
    ],
    ids=str,
)
def test_what_cannot_be_served_is_told_in_one_line(
    stories: Path, arguments: tuple[str, ...], message: str
) -> None:
    models = () if "-m" in arguments else ("-m", str(stories))
    command = [*COMMAND, *models, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("llmpy: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
def test_it_serves_without_standard_streams(stories: Path, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    line = 'exec "$0" "$@" <&- >&- 2>&-'
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = ["sh", "-c", line, *COMMAND, "-m", str(stories), "--port", port]
    with subprocess.Popen([*command, "--access-log", str(log)]) as process:
        for _ in range(300):
            try:
                assert fetched(f"http://127.0.0.1:{port}/health") == {"status": "ok"}
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        process.terminate()
        assert process.wait(30) == 0
    assert json.loads(log.read_text(encoding="utf-8"))["path"] == "/health"
