"""Windows and macOS: the program by pynput, where that is installed, on the screen of the tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.apps.anywhere.conftest import BEGINNING, Editor, Screen, until

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("pynput") and importlib.util.find_spec("pyperclip")),
    reason="needs pynput and pyperclip, which on Linux are for this test alone",
)
PROGRAM = """
import asyncio, sys
from llmpy.apps.anywhere.config import Command, Config
from llmpy.apps.anywhere.others import Others
from llmpy.apps.anywhere.running import Models, Program

def say(line):
    print(line, file=sys.stderr, flush=True)

async def main():
    sampler = "ignore-eos/top-k:k=40/temperature:0.9"
    long = Command("long", keys="ctrl+alt+shift+space", sampler=sampler, newline="space")
    commands = [Command("go", max_tokens=20, temperature=0.0), long]
    config = Config(sys.argv[1], 512, delay=0.01, commands=commands)
    desktop, models = Others(config), Models(config)
    await models.load(config.commands, say)
    await Program(config, desktop, models, say).serve()

asyncio.run(main())
"""


def test_a_text_is_completed_and_the_clipboard_is_as_it_was(
    screen: Screen, editors: dict[str, Editor], stories: Path, expected: str
) -> None:
    editor = editors["mousepad"]  # takes the events that pynput makes on X11
    editor.clear()
    screen.put(b"mine")
    program = screen.start([sys.executable, "-c", PROGRAM, str(stories)])
    try:
        until(lambda: any("ready" in line for line in program.lines()), 60)
        editor.type(BEGINNING)
        screen.xdotool("key", "ctrl+alt+space")
        until(program.is_done)
        assert editor.text.rstrip("\n") == BEGINNING + expected
        assert screen.clipboard() == b"mine"
        screen.xdotool("key", "ctrl+alt+shift+space")
        until(lambda: len(editor.file.read_text()) > 0)
        screen.run("sleep", "1")
        screen.xdotool("key", "Escape")
        until(lambda: program.lines()[-1] == "long: cancelled")
    finally:
        program.end()
