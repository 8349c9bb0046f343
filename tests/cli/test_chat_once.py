"""`llmpy chat -p`, text on stdin, preludes, and what is wrong usage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import BACKEND

FRANCE = "What is the capital of France? Answer in one sentence."
PARIS = "The capital of France is Paris."


@pytest.fixture
def ask(run, stories: Path):  # type: ignore[no-untyped-def]
    """Runs `llmpy chat` on a small model, without chance."""

    def call(*arguments: object, stdin: bytes = b""):  # type: ignore[no-untyped-def]
        fixed = ("chat", "-m", stories, "--backend", BACKEND, "--temperature", 0)
        return run(*fixed, *arguments, stdin=stdin)

    return call


@pytest.mark.parametrize("command", ["chat", "run", "repl"])
def test_a_text_is_answered(run, smollm2: Path, command: str) -> None:
    done = run(command, "-m", smollm2, "--temperature", 0, "-p", FRANCE)
    assert (done.code, done.out, done.err) == (0, f"{PARIS}\n", "")


def test_model_and_text_may_stand_without_options(run, smollm2: Path) -> None:
    done = run("run", smollm2, FRANCE, "--temperature", 0)
    assert (done.code, done.out) == (0, f"{PARIS}\n")


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-p", "a"), "a model is needed, and none is installed: llmpy pull smollm2"),
        (("a.gguf", "-m", "b.gguf"), "expected -m or MODEL, found both"),
        (("a.gguf", "Hello", "-p", "Hi"), "expected -p or TEXT, found both"),
    ],
)
def test_a_model_and_a_text_are_given_once(run, arguments: tuple[str, ...], message: str) -> None:
    done = run("chat", *arguments)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("options", [(), ("-p", "-")])
def test_a_text_on_stdin_is_answered(run, smollm2: Path, options: tuple[str, ...]) -> None:
    stdin = f"{FRANCE}\n".encode()
    done = run("chat", "-m", smollm2, "--temperature", 0, *options, stdin=stdin)
    assert (done.code, done.out) == (0, f"{PARIS}\n")


def test_one_object_of_json(run, smollm2: Path) -> None:
    done = run(
        "chat", "-m", smollm2, "--temperature", 0, "-p", FRANCE, "--system", "Be brief.", "--json"
    )
    found = json.loads(done.out)
    assert found.keys() == {"text", "thinking", "messages", "finish_reason", "timings"}
    assert found["text"] == found["messages"][2]["content"] != ""
    assert found["messages"][:2] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": FRANCE},
    ]
    assert (found["thinking"], found["finish_reason"]) == ("", "end")
    assert found["timings"]["n_generated"] > 2


def test_thinking_goes_to_stderr(ask, tmp_path: Path) -> None:
    template = tmp_path / "thinks.jinja"
    template.write_text("{{ messages[0].content }}{% if x %}</think>{% endif %}<think>")
    options = ("-p", "Once upon a time", "--template", template, "-n", 8)
    found = json.loads(ask(*options, "--json").out)
    assert len(found["thinking"]) > 10
    assert (found["text"], found["finish_reason"]) == ("", "length")
    shown = ask(*options)
    assert (shown.out, shown.err.strip()) == ("", found["thinking"].strip())
    hidden = ask(*options, "--hide-thinking")
    assert (hidden.out, hidden.err) == ("", "")


def test_the_same_seed_gives_the_same_answer(run, stories: Path) -> None:
    def told(seed: int) -> str:
        options = ("--backend", BACKEND, "--template", "alpaca", "-n", 20, "--seed", seed)
        return str(run("chat", "-m", stories, "-p", "Hi", *options).out)

    assert told(5) == told(5) != told(6)


def test_a_model_without_a_template_says_what_to_do(ask) -> None:
    done = ask("-p", "Once")
    assert (done.code, done.out) == (1, "")
    assert "--template" in done.err
    assert "--prelude" in done.err


def test_a_prelude_stands_in_place_of_a_template(ask, infer, tmp_path: Path) -> None:
    file = tmp_path / "prelude.txt"
    file.write_text("{{PROMPT}}")
    done = ask("-p", "Once upon a time", "--prelude", file, "-n", 12)
    plain = infer("-p", "Once upon a time", "-n", 12, "--hide-prompt")
    assert done.out.strip() == plain.out.strip()
    assert done.out.strip() != ""


def test_a_prefix_ends_an_answer(ask, tmp_path: Path) -> None:
    file = tmp_path / "prelude.txt"
    file.write_text("Once upon a time,")
    done = ask("-p", "there was", "--prelude", file, "--message-prefix", "Lily", "-n", 200)
    assert done.code == 0
    assert "Lily" not in done.out


def test_the_end_of_the_context_is_told(ask) -> None:
    done = ask("-p", "Once upon a time", "--template", "alpaca", "-c", 64, "--stats")
    assert done.code == 0
    assert done.out.strip()
    assert "all 64 tokens of context are used" in done.err
    assert "finished by context" in done.err


def test_a_text_longer_than_the_context(ask) -> None:
    done = ask("-p", "word " * 100, "--template", "alpaca", "-c", 64)
    assert (done.code, done.out) == (1, "")
    assert "context holds 64 tokens" in done.err
    assert "with -c" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "stdin"),
        (("-p", " "), "-p"),
        (("-p", "a", "--stop", ""), "--stop"),
        (("-p", "a", "--temperature", "-1"), "temperature"),
        (("-p", "a", "--overflow", "shift"), "drop_oldest"),
        (("-p", "a", "--message-prefix", "x"), "--prelude"),
        (("-p", "a", "--template", "alpaca", "--prelude", "x.txt"), "--template"),
    ],
)
def test_wrong_usage(run, options: tuple[str, ...], message: str) -> None:
    done = run("chat", "-m", "x.gguf", *options)
    assert done.code == 2
    assert done.out == ""
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_prelude_without_a_place_for_a_message(run, tmp_path: Path) -> None:
    file = tmp_path / "prelude.txt"
    file.write_text("A talk.")
    done = run("chat", "-m", "x.gguf", "-p", "a", "--prelude", file)
    assert done.code == 2
    assert "--message-prefix" in done.err


@pytest.mark.parametrize(
    ("options", "message"), [(("--template", "nosuch"), "chatml"), (("--template", "./no"), "no")]
)
def test_a_template_that_there_is_not(ask, options: tuple[str, ...], message: str) -> None:
    done = ask("-p", "a", *options)
    assert (done.code, done.out) == (1, "")
    assert message in done.err


def test_a_missing_model(run, tmp_path: Path) -> None:
    done = run("chat", "-m", tmp_path / "none.gguf", "-p", "a")
    assert (done.code, done.out) == (1, "")
    assert "none.gguf" in done.err


def test_stdin_that_is_no_text(run) -> None:
    done = run("chat", "-m", "x.gguf", stdin=b"ab\xff")
    assert (done.code, done.out) == (1, "")
    assert "0xff at 2" in done.err


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_keeps_the_answer_so_far(smollm2: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "llmpy", "chat", "-m", str(smollm2), "-p", "Tell a long story."],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    first = process.stdout.read(4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (first + out).endswith(b"\n")
    assert err == b"llmpy: interrupted\n"
