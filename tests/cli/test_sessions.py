"""Sessions kept in files between two calls of `llmpy infer` and `llmpy chat`."""

from __future__ import annotations

import json
from pathlib import Path

PROMPT = "Once upon a time"


def output_of(infer, *arguments: object) -> str:
    done = infer("--json", *arguments)
    assert done.code == 0, done.err
    return json.loads(done.out)["text"]


def test_two_calls_say_what_one_says(infer, tmp_path: Path) -> None:
    file = tmp_path / "s"
    whole = output_of(infer, "-p", PROMPT, "-n", 20)
    first = output_of(infer, "-p", PROMPT, "-n", 8, "--save-session", file)
    assert whole.startswith(first)
    assert output_of(infer, "-n", 12, "--load-session", file) == whole
    assert (
        output_of(infer, "-n", 12, "--load-session", file, "--hide-prompt") == whole[len(first) :]
    )


def test_chance_goes_on_where_it_was(run, stories: Path, tmp_path: Path) -> None:
    file, common = tmp_path / "s", ("infer", "-m", stories, "--json")
    whole = json.loads(run(*common, "-p", PROMPT, "-n", 20, "--seed", 5).out)["text"]
    run(*common, "-p", PROMPT, "-n", 8, "--seed", 5, "--save-session", file)
    assert json.loads(run(*common, "-n", 12, "--load-session", file).out)["text"] == whole


def test_a_file_that_is_kept_grows_with_each_call(infer, tmp_path: Path) -> None:
    file = tmp_path / "s"
    first = output_of(infer, "-p", PROMPT, "-n", 5, "--persist-session", file)
    second = output_of(infer, "-p", " And then", "-n", 5, "--persist-session", file)
    third = output_of(infer, "-n", 5, "--persist-session", file)
    assert second.startswith(first + " And then")
    assert third.startswith(second)


def test_a_chat_goes_on_in_another_call(run, stories: Path, tmp_path: Path) -> None:
    file = tmp_path / "s"
    common = ("chat", stories, "--template", "chatml", "-n", 6, "--json", "--persist-session", file)
    first = json.loads(run(*common, "Hello").out)
    second = json.loads(run(*common, "Hello").out)
    assert second["messages"][:2] == first["messages"]
    assert [m["role"] for m in second["messages"]] == ["user", "assistant"] * 2
    read = [answer["timings"]["n_prompt"] for answer in (first, second)]
    assert read[1] < read[0] + 10  # the second message alone, and the end of the first answer


def test_one_option_stands_for_the_two_others(infer, tmp_path: Path) -> None:
    file = tmp_path / "s"
    done = infer("-p", PROMPT, "--persist-session", file, "--save-session", file)
    assert done.code == 2
    assert "give it alone" in done.err


def test_a_file_that_is_none_is_one_line(infer, run, stories: Path, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"no session")
    done = infer("-p", PROMPT, "--load-session", tmp_path / "s")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    done = run("repl", stories, "-p", "x", "--save-session", tmp_path / "r")
    assert done.code == 2
    assert "llmpy repl keeps no conversation" in done.err
