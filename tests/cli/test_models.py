"""Models by name at the command line: pull, ls, show, rm, cp, default, and -m NAME."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy.cli import COMMANDS
from tests.cli.conftest import BACKEND, Result
from tests.hub.server import Site, serving, throttled

Run = Callable[..., Result]
FAST = ("--backend", BACKEND, "--temperature", "0")


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for models."""
    monkeypatch.setenv("LLMPY_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of files."""
    with serving() as found:
        yield found


def address(site: Site, data: bytes) -> str:
    """Of a file on the server, with its checksum."""
    site.files["/tiny.gguf"] = data
    return f"{site.url}/tiny.gguf#sha256={hashlib.sha256(data).hexdigest()}"


def test_a_pull_ends_with_one_line_on_stdout(run: Run, site: Site, stories: Path) -> None:
    done = run("pull", address(site, stories.read_bytes()))
    model = llmpy.find_model("tiny")
    assert done.code == 0
    assert done.out == f"tiny: 1.2 MB, licence unknown, {model.path}\n"
    assert "licence unknown" in done.err
    assert "\r" not in done.err
    assert run("infer", "-m", "tiny", *FAST, "-p", "Once", "-n", 3).out.startswith("Once")


def test_without_a_name_the_catalogue_is_shown(run: Run) -> None:
    out = run("pull").out
    for entry in llmpy.CATALOGUE:
        assert f"{entry.name}: {entry.about}" in out
        assert f"licence {entry.license}" in out
        assert entry.source in out


def test_models_are_listed_with_size_memory_and_licence(run: Run, stories: Path) -> None:
    assert run("ls").err == "no models; llmpy pull shows what can be had\n"
    run("pull", stories, "--as", "one")
    run("cp", "one", "two:b")
    run("default", "two:b")
    assert [line.split() for line in run("ls").out.splitlines()] == [
        ["one", "1.2", "MB", "fits", "unknown"],
        ["two:b", "*", "1.2", "MB", "fits", "unknown"],
    ]
    found = json.loads(run("ls", "--json").out)
    assert [(m["name"], m["default"], m["bytes"]) for m in found] == [
        ("one", False, stories.stat().st_size),
        ("two:b", True, stories.stat().st_size),
    ]


def test_what_is_known_of_a_model_is_shown(run: Run, stories: Path) -> None:
    run("pull", stories, "--as", "one")
    out = run("show", "one").out
    assert f"path: {stories}\n" in out
    assert "licence: unknown\n" in out
    assert run("show").out == out
    assert json.loads(run("show", "one", "--json").out)["path"] == str(stories)


def test_the_catalogue_is_shown_before_it_is_installed(run: Run) -> None:
    out = run("show", "smollm2").out
    assert "installed: False\n" in out
    assert "licence: Apache-2.0\n" in out
    assert "98.4 MB" in out
    assert run("show", "none").code == 1


def test_removing_says_what_is_free_again(run: Run, site: Site) -> None:
    run("pull", address(site, bytes(250_000)))
    assert run("rm", "tiny").out == "tiny: removed, 250.0 kB freed\n"
    done = run("rm", "tiny")
    assert (done.code, done.out) == (1, "")


@pytest.mark.parametrize("command", ["info", "tokens", "infer"])
def test_the_default_model_needs_no_option(run: Run, stories: Path, command: str) -> None:
    run("pull", stories, "--as", "one")
    more: dict[str, tuple[Any, ...]] = {
        "info": (),
        "tokens": ("Once",),
        "infer": ("-p", "Once", "-n", 2, *FAST),
    }
    named = run(command, "-m", "one", *more[command])
    assert named.code == 0
    assert run(command, *more[command]) == named


@pytest.mark.parametrize("command", ["info", "bench"])
def test_without_any_model_that_of_the_package_is_used(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch, stories: Path
) -> None:
    more = () if command == "info" else ("-r", 1, "-n", 4, "--backend", BACKEND)
    monkeypatch.setattr("llmpy.apps.dates.model_path", lambda: stories)
    done = run(command, *more)
    assert done.code == 0
    assert done.err == "model: stories260K, which is part of llmpy (-m takes another)\n"
    run("pull", stories, "--as", "one")
    assert "part of llmpy" not in run(command, *more).err


def test_two_models_without_a_default_are_an_error_that_lists_them(run: Run, stories: Path) -> None:
    run("pull", stories, "--as", "one")
    run("pull", stories, "--as", "two")
    done = run("info")
    assert done.code == 1
    assert "several models: one, two. llmpy default NAME chooses one" in done.err
    assert run("default", "two").out == "two\n"
    assert run("default").out == "two\n"
    assert run("info").code == 0
    run("default", "--none")
    assert run("default").code == 1


def test_a_name_that_is_wrong_says_what_is_near(run: Run, stories: Path) -> None:
    run("pull", stories, "--as", "stories")
    done = run("infer", "-m", "storis", "-p", "a")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "Did you mean stories?" in done.err


def test_info_shows_the_licence(run: Run, smollm2: Path, stories: Path) -> None:
    assert "\nlicence: apache-2.0\n" in run("info", "-m", smollm2).out
    assert "\nlicence: unknown\n" in run("info", "-m", stories).out
    assert json.loads(run("info", "-m", smollm2, "--json").out)["license"] == "apache-2.0"


def test_a_licence_that_is_not_allowed_is_refused(
    run: Run, site: Site, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = address(site, b"data")
    done = run("pull", url, "--allow-license", "mit", "--allow-license", "bsd")
    assert done.code == 1
    assert "its licence is unknown; allowed" in done.err
    assert site.asked == []
    monkeypatch.setenv("LLMPY_ALLOW_LICENSES", "mit")
    assert "its licence is apache-2.0" in run("infer", "-m", smollm2, "-p", "a").err
    assert run("pull", url).code == 1


def test_an_interrupt_says_how_to_go_on(empty: Path, site: Site) -> None:
    data = random.Random(7).randbytes(40 << 20)
    url, site.behave = address(site, data), throttled(20e6)
    process = subprocess.Popen(
        [sys.executable, "-m", "llmpy", "pull", url], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(part.stat().st_size > 17 << 20 for part in empty.rglob("*.llmpy-part")):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "llmpy: interrupted; " in errors
    assert "MB are kept, but for an unfinished chunk, and the same command goes on" in errors
    assert "Traceback" not in errors
    assert llmpy.models() == []
    (part,) = empty.rglob("*.llmpy-part")
    kept, site.behave = part.stat().st_size, None
    subprocess.run([sys.executable, "-m", "llmpy", "pull", url], check=True, capture_output=True)
    assert site.starts == [None, kept >> 24 << 24]
    assert llmpy.find_model("tiny").path.read_bytes() == data


def test_a_terminal_shows_a_bar(terminal: Callable[..., Any], site: Site) -> None:
    site.behave = throttled(2e6)
    shown = terminal("pull", address(site, random.Random(8).randbytes(3_000_000)), columns=120)
    shown.wait("tiny: 3.0 MB, licence unknown")
    assert "downloading" in shown.text
    assert "MB/s" in shown.text
    assert "left" in shown.text


def test_chat_offers_the_first_of_the_catalogue(terminal: Callable[..., Any]) -> None:
    shown = terminal("chat")
    shown.wait("Download smollm2?")
    entry = llmpy.CATALOGUE[0]
    for part in (entry.about, "92.9 MB to download", "licence Apache-2.0"):
        assert part in " ".join(shown.text.split())
    shown.send("n")
    shown.wait("a model is needed: llmpy pull NAME, or -m MODEL")


def test_without_a_terminal_nothing_is_offered(run: Run) -> None:
    done = run("chat", "-p", "Hi")
    assert done.code == 2
    assert "none is installed: llmpy pull smollm2 (92.9 MB to download, licence" in done.err


@pytest.mark.parametrize("name", ["pull", "ls", "show", "rm", "cp", "default"])
def test_the_commands_are_there(run: Run, name: str) -> None:
    assert name in COMMANDS
    assert run(name, "--help").code == 0
    assert os.environ["LLMPY_MODELS"]
