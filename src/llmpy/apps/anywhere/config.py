"""The configuration: chords, and what the commands behind them read, ask and type."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import msgspec

from llmpy.apps.anywhere.chords import FUNCTION_KEYS, Chord, chord
from llmpy.apps.configs import ModelCommand, read_toml, write_new

__all__ = ["EXAMPLE", "Command", "Config", "read_config", "write_example"]

SELECT, COPY = (
    ("super+shift+left", "super+c") if sys.platform == "darwin" else ("shift+home", "ctrl+c")
)
EXAMPLE = f"""\
# llmpy anywhere: a chord completes the text at the cursor, in any program.

model = ""                  # a name of `llmpy ls`, or a file; "": the default model
n_ctx = 2048                # context in tokens; of a longer text, the end is read
cancel = "esc"              # ends the text that is being typed; so does the chord itself
select = "{SELECT}"       # selects what is left of the cursor; "ctrl+shift+home": the whole text
copy = "{COPY}"
delay = 0.0                 # seconds between characters, for programs that lose some
# terminals = ["xterm"]     # more programs where `copy` would interrupt: there, the text that is
                            # selected with the mouse is read, and Enter is never typed

[[commands]]
name = "complete"
keys = "ctrl+alt+space"
mode = "autocomplete"       # the model goes on with the text
input = "left"              # what is left of the cursor; "selection", "clipboard" or "window"
newline = "stop"            # at a line break: "stop", or type "enter", "shift-enter" or "space"
max_tokens = 48
temperature = 0.3

[[commands]]
name = "ask"
keys = "ctrl+alt+shift+space"
mode = "prompt"             # the model answers the prompt
input = "window"            # a window of one line
newline = "enter"
max_tokens = 400

[[commands]]
name = "correct"
keys = "ctrl+alt+."
mode = "prompt"
input = "selection"         # is replaced by the answer
prompt = "Correct the grammar of this text. Reply with the text only:\\n\\n{{{{PROMPT}}}}"
newline = "enter"
max_tokens = 400
temperature = 0.0
# model = "another-model"
# system = "..."            # the system message of mode "prompt"
# template = "alpaca"       # a named chat template, for models that have none
# top_k, top_p, min_p, repeat_penalty, seed, or the whole sampler as a string:
# sampler = "top-k:k=40/temperature:0.7"
"""


class Command(ModelCommand, forbid_unknown_fields=True):
    """A chord, what it reads, and how the answer is typed."""

    keys: str = "ctrl+alt+space"
    mode: Literal["autocomplete", "prompt"] = "autocomplete"
    input: Literal["left", "selection", "clipboard", "window"] = "left"
    newline: Literal["stop", "enter", "shift-enter", "space"] = "stop"


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    model: str = ""
    n_ctx: int = 2048
    cancel: str = "esc"
    select: str = SELECT
    copy: str = COPY
    delay: float = 0.0
    terminals: list[str] = []
    commands: list[Command] = msgspec.field(default_factory=lambda: [Command("complete")])

    def command(self, name: str | None) -> Command:
        """Return the command of a name, the first without one; ValueError if there is none."""
        for command in self.commands:
            if name in (None, command.name):
                return command
        names = ", ".join(command.name for command in self.commands)
        raise ValueError(f"commands: expected one of {names}, found {name!r}")

    def chords(self) -> dict[Chord, Command]:
        """Return the command of each chord; ValueError for chords that cannot be."""
        taken = {chord("right"), chord("enter"), chord("shift+enter")}
        for name in ("cancel", "select", "copy"):
            try:
                taken.add(chord(getattr(self, name)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        found: dict[Chord, Command] = {}
        for command in self.commands:
            try:
                one = chord(command.keys)
            except ValueError as error:
                raise ValueError(f"commands: {command.name}: keys: {error}") from error
            if one in taken or one in found:
                raise ValueError(f"commands: {command.name}: keys: {one} has another use already")
            if not {"ctrl", "alt", "super"} & {*one.modifiers} and one.key not in FUNCTION_KEYS:
                raise ValueError(
                    f"commands: {command.name}: keys: expected ctrl, alt or super with it, or f1 "
                    f"to f24, found {one}, which people type"
                )
            found[one] = command
        return found


def write_example(path: Path) -> None:
    """Write a configuration that works as it is."""
    write_new(path, EXAMPLE)


def read_config(path: Path) -> Config:
    """Read the file; ValueError says in one line what is wrong with it and what to do."""
    config = read_toml(path, Config)
    try:
        if config.n_ctx <= 0:
            raise ValueError(f"n_ctx: expected more than 0, found {config.n_ctx}")
        if not 0 <= config.delay <= 1:
            raise ValueError(f"delay: expected 0 to 1 seconds, found {config.delay}")
        if not config.commands:
            raise ValueError("commands: expected one at least, found none")
        for command in config.commands:
            command.check()
        config.chords()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return config
