"""The configuration, and what is wrong before anything is typed, in one line each."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import llmpy
from llmpy.apps.anywhere import Command, read_config, write_example
from llmpy.apps.anywhere.answering import generate
from llmpy.apps.anywhere.chords import chord, keysym
from llmpy.apps.anywhere.window import ask_line
from tests.cli.conftest import Result

Run = Callable[..., Result]
CONFIG = '[[commands]]\nname = "go"\n'


def test_the_example_is_read_as_it_is(tmp_path: Path) -> None:
    write_example(tmp_path / "new" / "config.toml")
    config = read_config(tmp_path / "new" / "config.toml")
    assert [command.name for command in config.commands] == ["complete", "ask", "correct"]
    assert config.commands[2].text("teh").endswith("text only:\n\nteh")
    assert len(config.chords()) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = ", "Invalid value"),
        ("models = 1", "unknown field `models`"),
        ("n_ctx = 0", "n_ctx: expected more than 0, found 0"),
        ("delay = 2.0", "delay: expected 0 to 1 seconds, found 2.0"),
        ("commands = []", "commands: expected one at least, found none"),
        (CONFIG + 'keys = "ctrl+nokey"', "commands: go: keys: expected keys like .* 'ctrl.nokey'"),
        (CONFIG + 'keys = "hyper+a"', "commands: go: keys: expected keys like ctrl.alt.space"),
        (CONFIG + 'keys = "shift+a"', "commands: go: keys: expected ctrl, alt or super with it"),
        (CONFIG + 'keys = "ctrl+c"', "commands: go: keys: ctrl.c has another use already"),
        (CONFIG + CONFIG, "commands: go: keys: ctrl.alt.space has another use already"),
        (CONFIG + 'mode = "guess"', r"Invalid enum value 'guess' - at `\$.commands\[0\].mode`"),
        (CONFIG + 'prompt = "x"', r"commands: go: prompt: expected \{\{PROMPT\}\}"),
        (CONFIG + 'sampler = "greedy"\ntop_k = 1', "commands: go: sampler is the whole sampler"),
        ('cancel = "nothing"', "cancel: expected keys like ctrl.alt.space"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_config(tmp_path / "config.toml")
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


def test_chords_are_written_in_any_order() -> None:
    one = chord("Alt + Control + Space")
    assert (str(one), one.keysym, one.trigger) == ("ctrl+alt+space", 0x20, "CTRL+ALT+space")
    assert chord("cmd+f12").trigger == "LOGO+F12"
    assert (keysym("a"), keysym("é"), keysym("€")) == (0x61, 0xE9, 0x10020AC)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_the_first_start_writes_the_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    result = run("anywhere", "--config", path, "--check")
    assert (result.code, result.err.count("\n")) == (0, 2)
    assert f"wrote {path}" in result.err
    assert "is fine: ctrl+alt+space complete, ctrl+alt+shift+space ask" in result.err
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def failing(run: Run, path: Path, stories: Path, *options: str) -> str:
    """The only line that a start ends with."""
    path.write_text(f'model = "{stories}"\n{CONFIG}')
    result = run("anywhere", "--config", path, *options)
    assert result.code in (1, 2)
    return result.err.splitlines()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one desktop")
def test_without_a_display_the_error_says_so(
    run: Run, tmp_path: Path, stories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for name in ("", ":4711"):
        monkeypatch.setenv("DISPLAY", name)
        line = failing(run, tmp_path / "config.toml", stories)
        assert line.startswith("llmpy: no display: expected DISPLAY to name one")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one desktop")
@pytest.mark.parametrize(("session", "module"), [("", "Xlib"), ("wayland-0", "dbus_fast")])
def test_without_the_libraries_the_error_names_the_extra(
    run: Run,
    tmp_path: Path,
    stories: Path,
    monkeypatch: pytest.MonkeyPatch,
    session: str,
    module: str,
) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", session)
    monkeypatch.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.startswith("llmpy.apps.anywhere.")]:
        monkeypatch.delitem(sys.modules, name)
    line = failing(run, tmp_path / "config.toml", stories)
    assert line == "llmpy: llmpy anywhere needs: pip install 'llmpy[desktop]'"


def test_options_of_one_run_need_it(run: Run, tmp_path: Path, stories: Path) -> None:
    path = tmp_path / "config.toml"
    assert "need --once" in failing(run, path, stories, "--clipboard")
    line = failing(run, path, stories, "--once", "--command", "other")
    assert line == "llmpy: commands: expected one of go, found 'other'"


@pytest.fixture
def clipboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Wayland's clipboard holds, by stand-ins of wl-paste and wl-copy."""
    held = tmp_path / "held"
    folder = tmp_path / "bin"
    folder.mkdir()
    paste = f'#!/bin/sh\n[ "$*" = "--no-newline --type text" ] && cat {held}\n'
    copy = f'#!/bin/sh\n[ "$*" = "--type text/plain;charset=utf-8" ] && cat > {held}\n'
    for name, text in (("wl-paste", paste), ("wl-copy", copy)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    return held


@pytest.mark.skipif(sys.platform != "linux", reason="Wayland is of Linux")
def test_the_clipboard_of_wayland_is_answered(
    run: Run, tmp_path: Path, stories: Path, clipboard: Path
) -> None:
    clipboard.write_text("One day, a girl named")
    path = tmp_path / "config.toml"
    path.write_text(f'model = "{stories}"\n{CONFIG}max_tokens = 5\ntemperature = 0.0')
    result = run("anywhere", "--config", path, "--once", "--clipboard")
    assert (result.code, result.err.splitlines()[-1]) == (
        0,
        "go: 17 characters are on the clipboard",
    )
    assert clipboard.read_text() == " Lily went to the"
    clipboard.write_text("")
    assert "holds no text" in failing(run, path, stories, "--once", "--clipboard")
    (tmp_path / "bin" / "wl-paste").unlink()
    line = failing(run, path, stories, "--once", "--clipboard")
    assert line == "llmpy: the clipboard of Wayland needs wl-paste: install wl-clipboard"


def test_a_missing_model_is_named(run: Run, tmp_path: Path, clipboard: Path) -> None:
    clipboard.write_text("text")
    line = failing(run, tmp_path / "config.toml", tmp_path / "no.gguf", "--once", "--clipboard")
    assert "no.gguf" in line


@pytest.mark.skipif(not Path("/bin/false").exists(), reason="no /bin/false here")
def test_a_window_that_cannot_be_shown_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(
        RuntimeError, match="needs Tk: on Debian and Ubuntu, apt install python3-tk"
    ):
        asyncio.run(ask_line("go"))


def answers(stories: Path, command: Command, text: str, **options: bool) -> str:
    """The whole answer to a text."""

    async def whole() -> str:
        with llmpy.load(stories, n_ctx=128) as model:
            return "".join([piece async for piece in generate(model, command, text, **options)])

    return asyncio.run(whole())


def test_of_a_long_text_the_end_is_read(stories: Path, expected: str) -> None:
    command = Command("go", max_tokens=20, temperature=0.0)
    long = "The dog ran. " * 200 + "One day, a girl named"
    assert answers(stories, command, long)
    assert answers(stories, command, "One day, a girl named") == expected


def test_a_space_before_the_cursor_is_not_typed_again(stories: Path, expected: str) -> None:
    command = Command("go", max_tokens=20, temperature=0.0)
    assert answers(stories, command, "One day, a girl named ") == expected.lstrip()
