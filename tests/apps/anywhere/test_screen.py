"""The program on a real screen: editors, a terminal, a window manager, keys."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.apps.anywhere.conftest import BEGINNING, ENDLESS, Editor, Screen, until

Make = Callable[..., str]
CHORD = "ctrl+alt+space"


def test_what_is_left_of_the_cursor_is_completed(
    screen: Screen, editor: Editor, config: Make, expected: str
) -> None:
    screen.put(b"mine")
    with screen.anywhere(config()) as program:
        editor.type("First line")
        screen.xdotool("key", "Return")
        editor.type(BEGINNING + " right of it")
        screen.xdotool("key", *["Left"] * 12)
        screen.xdotool("key", CHORD)
        until(program.is_done)
    assert editor.text.rstrip("\n") == f"First line\n{BEGINNING}{expected} right of it"
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
        assert len(program.lines()) == 3  # loading, ready, done


def test_the_key_that_cancels_is_not_seen_by_the_editor(
    screen: Screen, editor: Editor, config: Make
) -> None:
    with screen.anywhere(config(*ENDLESS)) as program:
        editor.type(BEGINNING)
        screen.xdotool("key", CHORD)
        time.sleep(1.2)
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
        time.sleep(1.2)
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
        time.sleep(1.2)
        second.focus()
        until(lambda: program.lines()[-1] == "go: the focus changed")
        time.sleep(0.3)
        assert second.text.strip() == ""
