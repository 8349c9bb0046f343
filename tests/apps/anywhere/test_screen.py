"""The program on a real screen: editors, a terminal, a window manager, keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

import llmpy
from tests.apps.anywhere.conftest import BEGINNING, ENDLESS, Editor, Screen, until

Make = Callable[..., str]
CHORD = "ctrl+alt+space"


def test_what_is_left_of_the_cursor_is_completed(
    screen: Screen, each_editor: Editor, config: Make, expected: str
) -> None:
    screen.put(b"mine")
    with screen.anywhere(config()) as program:
        each_editor.type("First line")
        screen.xdotool("key", "Return")
        each_editor.type(BEGINNING + " right of it")
        screen.xdotool("key", *["Left"] * 12)
        screen.xdotool("key", CHORD)
        until(program.is_done)
    assert each_editor.text.rstrip("\n") == f"First line\n{BEGINNING}{expected} right of it"
    assert screen.clipboard() == b"mine"


def test_in_a_terminal_what_is_selected_is_completed(
    screen: Screen, editors: dict[str, Editor], config: Make, expected: str
) -> None:
    terminal = editors["xterm"]
    terminal.focus()
    with screen.anywhere(config()) as program:
        terminal.type(BEGINNING)
        window = ("mousemove", "--window", terminal.window, "40", "8")
        screen.xdotool(*window, "click", "--repeat", "3", "--delay", "40", "1")
        until(lambda: BEGINNING.encode() in screen.clipboard(of="primary"))
        screen.xdotool("key", CHORD)
        until(program.is_done)
        screen.xdotool("key", "Return")
        until(lambda: "\n" in terminal.text)
    assert terminal.text == f"{BEGINNING}{expected}\n"


def test_an_image_on_the_clipboard_is_there_afterwards(
    screen: Screen, editors: dict[str, Editor], config: Make
) -> None:
    image = bytes(range(256)) * 3000  # more than one property holds
    editor = editors["featherpad"]  # does not say what is selected: the clipboard is used
    editor.clear()
    screen.put(image, "image/png")
    with screen.anywhere(config()) as program:
        editor.type(BEGINNING)
        screen.xdotool("key", CHORD)
        until(program.is_done)
        assert screen.clipboard("image/png") == image


def test_held_keys_start_one_answer_and_are_released(
    screen: Screen, editor: Editor, config: Make, expected: str
) -> None:
    with screen.anywhere(config()) as program:
        editor.type(BEGINNING)
        screen.xdotool("keydown", "ctrl", "keydown", "alt", "keydown", "space")
        time.sleep(1)  # long enough to repeat
        assert editor.file.read_text() == ""
        screen.xdotool("keyup", "space", "keyup", "alt", "keyup", "ctrl")
        until(program.is_done)
        time.sleep(0.5)
        assert editor.text.rstrip("\n") == BEGINNING + expected
        assert len(program.lines()) == 4  # loading, ready, read, typed


def test_the_key_that_cancels_is_not_seen_by_the_editor(
    screen: Screen, editor: Editor, config: Make
) -> None:
    with screen.anywhere(config(*ENDLESS)) as program:
        editor.type(BEGINNING)
        screen.xdotool("key", CHORD)
        until(program.is_typing)
        time.sleep(0.5)
        screen.xdotool("key", "Escape")
        until(lambda: program.lines()[-1] == "go: cancelled")
        before = editor.text
        assert len(before) > len(BEGINNING) + 10
        time.sleep(0.3)
        assert editor.text == before
        editor.type("end")
        until(lambda: editor.text.split()[-1].endswith("end"))
        assert editor.text.startswith(before.rstrip())


def test_the_same_keys_cancel(screen: Screen, editor: Editor, config: Make) -> None:
    with screen.anywhere(config(*ENDLESS)) as program:
        editor.type(BEGINNING)
        screen.xdotool("key", CHORD)
        until(program.is_typing)
        time.sleep(0.5)
        screen.xdotool("key", CHORD)
        until(lambda: program.lines()[-1] == "go: cancelled")


def test_another_window_gets_nothing(
    screen: Screen, editors: dict[str, Editor], config: Make
) -> None:
    first, second = editors["mousepad"], editors["featherpad"]
    second.clear()
    first.clear()
    with screen.anywhere(config(*ENDLESS)) as program:
        first.type(BEGINNING)
        screen.xdotool("key", CHORD)
        until(program.is_typing)
        time.sleep(0.5)
        second.focus()
        until(lambda: program.lines()[-1] == "go: the focus changed")
        time.sleep(0.3)
        assert second.text.strip() == ""


def test_the_window_asks_for_a_line(
    screen: Screen, editor: Editor, config: Make, stories: Path
) -> None:
    command = 'input = "window"\nmax_tokens = 20\ntemperature = 0.0'
    with screen.anywhere(config(command)) as program:
        screen.xdotool("key", CHORD)
        until(lambda: screen.xdotool("getactivewindow", "getwindowname").strip() == "llmpy: go")
        screen.xdotool("type", BEGINNING)
        screen.xdotool("key", "Return")
        until(program.is_done)
    with llmpy.load(stories, n_ctx=512) as model:
        wanted = model.generate(BEGINNING, max_tokens=20, temperature=0).text
    assert editor.text.strip() == wanted.strip()


def test_the_window_is_closed_by_escape(
    screen: Screen, editors: dict[str, Editor], config: Make
) -> None:
    editors["mousepad"].clear()
    with screen.anywhere(config('input = "window"')) as program:
        screen.xdotool("key", CHORD)
        until(lambda: screen.xdotool("getactivewindow", "getwindowname").strip() == "llmpy: go")
        screen.xdotool("key", "Escape")
        until(lambda: program.lines()[-1] == "go: nothing was asked")
    assert editors["mousepad"].text.strip() == ""


def test_a_selection_is_replaced(
    screen: Screen, each_editor: Editor, config: Make, stories: Path
) -> None:
    command = (
        'input = "selection"\nmode = "prompt"\nprompt = "Tell: {{PROMPT}}"\ntemplate = "alpaca"\n'
        'max_tokens = 12\ntemperature = 0.0\nnewline = "space"'
    )
    screen.put(b"mine")
    with screen.anywhere(config(command)) as program:
        each_editor.type("before WORD")
        screen.xdotool("key", "shift+ctrl+Left", CHORD)
        until(program.is_done)
    with llmpy.load(stories, n_ctx=512) as model:
        chat = model.chat(template="alpaca", temperature=0)
        wanted = chat.ask("Tell: WORD", max_tokens=12)
    assert " ".join(each_editor.text.split()) == " ".join(f"before {wanted}".split())
    assert screen.clipboard() == b"mine"


def test_enter_is_typed_where_the_model_breaks_the_line(
    screen: Screen, editor: Editor, config: Make
) -> None:
    options = "max_tokens = 60\nseed = 3\ntemperature = 1.5\ntop_k = 0\ntop_p = 1.0\nmin_p = 0.0"
    texts = {}
    for newline in ("enter", "space", "stop"):
        editor.clear()
        with screen.anywhere(config(f'{options}\nnewline = "{newline}"')) as program:
            editor.type(BEGINNING)
            screen.xdotool("key", CHORD)
            until(program.is_done)
        texts[newline] = editor.text.rstrip()
    first, *more = texts["enter"].split("\n")
    assert more
    assert texts["space"] == texts["enter"].replace("\n", " ")
    assert texts["stop"] == first.rstrip()


def test_nothing_left_of_the_cursor_moves_nothing(
    screen: Screen, editor: Editor, config: Make
) -> None:
    with screen.anywhere(config()) as program:
        editor.type("word")
        screen.xdotool("key", "Home", CHORD)
        until(lambda: program.lines()[-1] == "go: nothing is left of the cursor")
        editor.type("first ")
    assert editor.text.strip() == "first word"


def test_keys_of_another_program_are_named(screen: Screen, config: Make) -> None:
    with screen.anywhere(config()), screen.anywhere(config(), "--check") as checked:
        assert checked.process.wait(30) == 0
        second = screen.start(checked.arguments[:-1])
        assert second.process.wait(30) == 1
        assert (
            second.lines()[-1]
            == f"llmpy: keys: {CHORD} belongs to another program: choose other keys"
        )


@pytest.mark.usefixtures("screen")  # which is skipped where there can be none
def test_a_display_that_ends_is_an_error(config: Make, tmp_path: Path) -> None:
    other = Screen(tmp_path)
    with other.anywhere(config()) as program:
        other.close()
        assert program.process.wait(15) == 1
        assert program.lines()[-1].startswith("llmpy: the display is gone")
        assert len(program.lines()) == 3


def test_once_answers_and_ends(screen: Screen, editor: Editor, config: Make, expected: str) -> None:
    editor.type(BEGINNING)
    with screen.anywhere(config(), "--once") as program:
        assert program.process.wait(30) == 0
    assert editor.text.rstrip("\n") == BEGINNING + expected


def test_once_with_the_clipboard_answers_there(
    screen: Screen, editors: dict[str, Editor], config: Make, expected: str
) -> None:
    editors["mousepad"].clear()
    screen.put(BEGINNING.encode())
    with screen.anywhere(config(), "--once", "--clipboard") as program:
        assert program.process.wait(30) == 0
        assert program.lines()[-1] == f"go: {len(expected)} characters are on the clipboard"
    assert screen.clipboard() == expected.encode()
    assert editors["mousepad"].text.strip() == ""
