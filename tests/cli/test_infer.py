"""`llmpy infer`: what goes in, what comes out on which stream, and where it ends."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

import llmpy
from llmpy import ffi
from llmpy.cli.options import SAMPLING

PROMPT = "Once upon a time"
ENDS_AT_ONCE = "What is 2+2?"  # says SmolLM2, greedily
STORY = "Once upon a time, there was a little girl named Lily."


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_empty_prompt_tells_the_published_story(run, stories: Path, backend: str) -> None:
    if backend == "cpu" and not ffi.available():
        pytest.skip(f"no compiled library at {ffi.library_path()}")
    expected = (stories.parent / "expected-greedy-200.txt").read_text(encoding="utf-8")
    done = run(
        "infer", "-m", stories, "--backend", backend, "-p", "", "-n", 200, "--temperature", 0
    )
    assert (done.code, done.out) == (0, expected + "\n")


def test_nothing_is_said_on_stderr_that_was_not_asked_for(infer) -> None:
    assert infer("-p", PROMPT, "-n", 3).err == ""


def test_the_prompt_comes_before_what_is_generated(infer) -> None:
    assert infer("-p", PROMPT, "-n", 11).out.startswith(STORY[:-5])


def test_hide_prompt_leaves_what_is_generated(infer) -> None:
    shown = infer("-p", PROMPT, "-n", 11).out
    assert infer("-p", PROMPT, "-n", 11, "--hide-prompt").out == shown.removeprefix(PROMPT)


def test_a_dash_takes_the_prompt_from_stdin(infer) -> None:
    shown = infer("-p", PROMPT, "-n", 5).out
    assert infer("-p", "-", "-n", 5, stdin=PROMPT.encode()).out == shown


def test_a_file_gives_the_prompt(infer, tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text(PROMPT, encoding="utf-8")
    assert infer("-f", file, "-n", 5).out == infer("-p", PROMPT, "-n", 5).out


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_break_at_the_end_of_a_prompt_is_the_editors(
    infer, tmp_path: Path, end: str
) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes((PROMPT + end).encode())
    shown = infer("-p", PROMPT, "-n", 5).out
    assert infer("-f", file, "-n", 5).out == shown
    assert infer("-p", "-", "-n", 5, stdin=(PROMPT + end).encode()).out == shown


@pytest.mark.parametrize("option", ["-p", "-f"])
def test_only_one_line_break_is_dropped(infer, tmp_path: Path, option: str) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(b"Once\n\n")
    done = infer(option, "-" if option == "-p" else file, "-n", 0, stdin=b"Once\n\n")
    assert done.out == "Once\n\n"


def test_the_prompt_goes_where_the_file_has_its_mark(infer, tmp_path: Path) -> None:
    file = tmp_path / "template.txt"
    file.write_text("Once {{PROMPT}} a time", encoding="utf-8")
    assert infer("-f", file, "-p", "upon", "-n", 5).out == infer("-p", PROMPT, "-n", 5).out


def test_a_prompt_for_a_file_without_mark_is_wrong_usage(infer, tmp_path: Path) -> None:
    file = tmp_path / "template.txt"
    file.write_text("Once upon", encoding="utf-8")
    done = infer("-f", file, "-p", "a time")
    assert done.code == 2
    assert "{{PROMPT}}" in done.err


def test_stop_ends_before_its_text(infer) -> None:
    assert infer("-p", PROMPT, "--stop", " girl").out == "Once upon a time, there was a little\n"


def test_the_first_of_several_stops_ends_it(infer) -> None:
    done = infer("-p", PROMPT, "--stop", "Lily", "--stop", "little", "--stop", "?")
    assert done.out == "Once upon a time, there was a \n"


def test_the_same_seed_gives_the_same_text(run, stories: Path) -> None:
    def told(seed: int) -> str:
        options = ("--backend", "reference", "-p", PROMPT, "-n", 30, "--seed", seed)
        return str(run("infer", "-m", stories, *options).out)

    assert told(5) == told(5) != told(6)


def test_stats_go_to_stderr(infer) -> None:
    done = infer("-p", PROMPT, "-n", 5, "--stats")
    assert done.out == infer("-p", PROMPT, "-n", 5).out
    assert "prompt: 5 tokens" in done.err
    assert "generated: 5 tokens" in done.err
    assert "computed by cpu\n" in done.err


def test_json_is_one_object_with_everything(infer) -> None:
    done = infer("-p", PROMPT, "-n", 5, "--json")
    found = json.loads(done.out)
    assert found.keys() == {"text", "tokens", "finish_reason", "timings"}
    assert found["text"] + "\n" == infer("-p", PROMPT, "-n", 5).out
    assert len(found["tokens"]) == found["timings"]["n_generated"] == 5
    assert found["finish_reason"] == "length"
    assert found["timings"]["prompt_seconds"] > 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [(("-n", 0), "length"), (("--stop", "girl"), "stop"), (("-c", 20), "context")],
)
def test_json_says_why_it_ended(infer, options: tuple[object, ...], reason: str) -> None:
    assert json.loads(infer("-p", PROMPT, "--json", *options).out)["finish_reason"] == reason


def test_control_tokens_in_the_prompt_count_only_where_asked_for(infer) -> None:
    def prompt_tokens(*options: str) -> int:
        found = json.loads(infer("-p", "a</s>b", "-n", 0, "--json", *options).out)
        return int(found["timings"]["n_prompt"])

    assert prompt_tokens("--special") < prompt_tokens()


def n_prompt(done) -> int:
    assert done.code == 0, done.err
    return int(json.loads(done.out)["timings"]["n_prompt"])


def test_control_tokens_of_a_template_count_and_those_of_a_user_do_not(infer, tmp_path: Path):
    file = tmp_path / "template.txt"
    file.write_text("</s>{{PROMPT}}</s>", encoding="utf-8")
    options = ("-n", 0, "--json", "--special")
    plain = n_prompt(infer("-f", file, "-p", "a", *options))
    assert plain == n_prompt(infer("-p", "</s>a</s>", *options))
    assert n_prompt(infer("-f", file, "-p", "a</s>", *options)) > plain + 1


def test_a_byte_order_mark_in_a_prompt_file_is_no_text(infer, tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text(PROMPT, encoding="utf-8-sig")
    assert infer("-f", file, "-n", 5).out == infer("-p", PROMPT, "-n", 5).out
    stdin = "\ufeff" + PROMPT
    assert infer("-p", "-", "-n", 5, stdin=stdin.encode()).out == infer("-p", PROMPT, "-n", 5).out


def test_help_shows_the_defaults_of_sampling(run) -> None:
    parameters = inspect.signature(llmpy.default_chain).parameters
    shown = " ".join(run("infer", "--help").out.split())
    for name, _, meaning, default in SAMPLING:
        assert default == parameters[name].default
        assert f"{meaning} [model's own, else {default:g}]" in shown


def test_a_model_for_chat_that_ends_at_once_has_a_command_of_its_own(run, smollm2: Path) -> None:
    done = run("infer", "-m", smollm2, "-p", ENDS_AT_ONCE, "--temperature", 0)
    assert done.out == f"{ENDS_AT_ONCE}\n"
    assert done.err.startswith("llmpy: the model ended the text at once; `llmpy chat` ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "more",
    [("-p", "Paris", "-n", 2), ("-p", ENDS_AT_ONCE, "-n", 0), ("-p", ENDS_AT_ONCE, "--special")],
    ids=["text follows", "none was wanted", "the template is the user's"],
)
def test_nothing_is_said_of_chat_otherwise(run, smollm2: Path, more: tuple[str, ...]) -> None:
    assert run("infer", "-m", smollm2, "--temperature", 0, *more).err == ""


def test_a_terminal_without_a_character_is_no_failure(infer, monkeypatch) -> None:
    import io
    import sys

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert infer("-p", "é", "-n", 0).code == 0
    sys.stdout.flush()
    assert raw.getvalue().strip() == b"?"
