"""The interactive chat with a real model, in a pseudo-terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.terminals import CTRL_C, CTRL_D, NEW_LINE, PASTE, UP, Terminal

FRANCE = "What is the capital of France? Answer in one sentence."


@pytest.fixture
def chat(terminal, smollm2: Path) -> Terminal:
    """A chat that answers without chance, ready for a message."""
    found: Terminal = terminal("chat", "-m", smollm2, "-c", 2048, "--temperature", 0)
    found.wait("0 of 2,048 tokens")
    return found


def leave(chat: Terminal) -> None:
    chat.type(CTRL_D)
    assert chat.end() == 0


def test_it_is_asked_and_answers(chat: Terminal) -> None:
    chat.answered("The capital of France is Paris.", chat.send(FRANCE))
    assert "Traceback" not in chat.text
    leave(chat)


def test_commands_change_the_conversation(chat: Terminal, tmp_path: Path) -> None:
    start = chat.send("/system Answer in one word.")
    chat.wait("System message: Answer in one word.", start)
    chat.wait("Paris", chat.send(FRANCE))
    start = chat.send("/save one.json")
    chat.wait("Saved 3 messages", start)
    first = json.loads((tmp_path / "one.json").read_text())
    assert [m["role"] for m in first] == ["system", "user", "assistant"]
    assert "Paris" in chat.wait("Paris", chat.send("/retry"))
    chat.wait(f"Taken back: {FRANCE}", chat.send("/undo"))
    chat.wait("There is nothing to take back", chat.send("/undo"))
    chat.wait("Loaded 3 messages", chat.send("/load one.json"))
    start = chat.send("/edit")
    chat.wait("changing a message", start)
    start = chat.send(" And of Italy?")
    chat.wait("Rome", start)
    chat.wait("Saved 3 messages", chat.send("/save"))
    second = json.loads((tmp_path / "one.json").read_text())
    assert second[1]["content"] == f"{FRANCE} And of Italy?"
    chat.send("/quit")
    assert chat.end() == 0


def test_an_interrupt_stops_the_answer_and_not_the_program(chat: Terminal) -> None:
    start = chat.send("Write a very long story about a dog and a cat.")
    chat.wait("tokens/s · Ctrl-C stops", start)
    chat.type(CTRL_C)
    chat.wait("Stopped.", start)
    chat.wait("Taken back: Write a very long story", chat.send("/undo"))
    chat.type(CTRL_C)  # between answer and line, or in the line: once is never the end
    start = chat.send(FRANCE)
    chat.answered("Paris", start)
    chat.type(CTRL_C)
    chat.wait("Ctrl-C again leaves")
    chat.type(CTRL_C)
    assert chat.end() == 0


def test_lines_of_one_message_stay_together(
    terminal: Callable[..., Terminal], smollm2: Path, tmp_path: Path
) -> None:
    chat = terminal("chat", "-m", smollm2, "-n", 20)
    chat.wait("0 of")
    chat.type(PASTE.format("one\ntwo"))
    chat.type(NEW_LINE)
    chat.type("three\\\r")
    chat.wait("/s", chat.send("four"))
    chat.wait("Saved 2 messages", chat.send("/save lines.json"))
    assert (
        json.loads((tmp_path / "lines.json").read_text())[0]["content"] == "one\ntwo\nthree\nfour"
    )
    history = (tmp_path / "llmpy" / "history").read_text()
    assert "+one\n+two\n+three\n+four\n" in history
    leave(chat)


def test_what_an_interrupt_empties_comes_back_with_the_arrow(chat: Terminal) -> None:
    chat.type("/system one")
    chat.wait("/system one")
    chat.type(CTRL_C)
    start = chat.send("/set seed 4")
    chat.wait("The same seed", start)
    chat.type(UP + UP)
    chat.wait("/system one", start)
    chat.wait("System message: one two", chat.send(" two"))
    leave(chat)


def test_keys_that_are_no_text_do_no_harm(chat: Terminal) -> None:
    chat.type(b"/system caf\xe9 \xff")
    chat.wait("System message: caf? ?", chat.send(""))
    leave(chat)


def test_what_is_typed_during_an_answer_waits(chat: Terminal, tmp_path: Path) -> None:
    start = chat.send("Count to seven in digits.")
    chat.wait("Ctrl-C stops", start)
    chat.send(FRANCE)
    chat.wait("Paris", start)
    chat.wait("Saved 4 messages", chat.send("/save two.json"))
    saved = json.loads((tmp_path / "two.json").read_text())
    assert saved[2] == {"role": "user", "content": FRANCE}
    leave(chat)


def test_a_full_context_is_explained_and_the_message_is_kept(terminal, smollm2: Path) -> None:
    chat = terminal("chat", "-m", smollm2, "-c", 64, "--temperature", 0)
    chat.wait("0 of 64 tokens")
    start = chat.send("word " * 100 + "end")
    shown = chat.wait("start with a larger context", start)
    assert "The context is full" in shown
    assert "/undo" in shown
    chat.wait("word end", start + len(shown))
    chat.type(CTRL_C)  # empties the line
    leave(chat)


def test_a_repl_answers_each_prompt_alone(terminal, smollm2: Path) -> None:
    repl = terminal("repl", "-m", smollm2, "-c", 2048, "--temperature", 0)
    repl.wait("each message is answered alone")
    repl.wait("50 of 2,048 tokens", repl.send(FRANCE))
    assert "Paris" in repl.text
    start = repl.send("/stats")
    repl.wait("finished by", start)
    repl.wait("50 of 2,048 tokens", repl.send(FRANCE))
    leave(repl)


@pytest.mark.parametrize("columns", [20, 200])
def test_it_works_in_any_width(terminal, smollm2: Path, columns: int) -> None:
    chat = terminal("chat", "-m", smollm2, "-c", 2048, "--temperature", 0, columns=columns)
    chat.wait("\u203a")
    chat.wait("Paris", chat.send(FRANCE))
    assert "Traceback" not in chat.text
    leave(chat)


def test_infer_shows_no_escape_to_a_terminal(terminal, stories: Path) -> None:
    shown = terminal("infer", "-m", stories, "-n", 3, "-p", "a\x1b[2Jb\x9b\x07")
    assert shown.end() == 0
    assert b"\x1b[2J" not in shown.raw
    assert b"\x07" not in shown.raw
    assert "a\u241b[2Jb" in shown.text
