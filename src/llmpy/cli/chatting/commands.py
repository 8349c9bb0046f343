"""The commands of a chat: lines that begin with a slash."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llmpy.cli.chatting.files import read_messages, write_messages
from llmpy.cli.chatting.settings import NAMES
from llmpy.cli.chatting.talk import Talk

__all__ = ["COMMANDS", "SIGN", "Command", "Commands", "Screen", "WrongCommandError", "command_in"]

SIGN = "\u203a"  # before what a person writes
LINE = re.compile(r"/([a-z?]+)(?:\s+(.*))?\s*", re.DOTALL)


class WrongCommandError(ValueError):
    """A command that cannot be done; the text says why."""


@dataclass(frozen=True)
class Command:
    """A command: how it is written, and what it does."""

    name: str
    argument: str
    help: str


COMMANDS = {
    command.name: command
    for command in (
        Command("help", "", "show the commands"),
        Command("system", "[TEXT]", "show or change the system message; 'none' removes it"),
        Command("clear", "", "begin a new conversation; the system message stays"),
        Command("undo", "", "take back your last message and its answer"),
        Command("retry", "", "answer your last message again"),
        Command("edit", "[N]", "change your last message, or number N, and go on from there"),
        Command("save", "[FILE]", "save the conversation as JSON"),
        Command("load", "FILE", "go on with a saved conversation"),
        Command("set", "[NAME VALUE]", "show the settings, or change one"),
        Command("think", "[on|off|auto]", "show the last thinking, or turn thinking on or off"),
        Command("stats", "", "show counts and speed of the last answer"),
        Command("model", "[NAME|PATH]", "go on with another model"),
        Command("quit", "", "leave; so does Ctrl-D"),
    )
}


class Screen(Protocol):
    """The methods of the program that commands use: showing things, asking for an answer."""

    def say(self, text: str) -> None:
        """Show a remark."""

    def table(self, rows: list[tuple[str, ...]]) -> None:
        """Show rows of a table, the first column as names."""

    def conversation(self, messages: list[dict[str, Any]]) -> None:
        """Show messages."""

    def thought(self, text: str) -> None:
        """Show thinking."""


def command_in(line: str) -> tuple[str, str] | None:
    """Return name and argument of a command, or None for a message.

    WrongCommandError where it looks like a command and is none.
    """
    found = LINE.fullmatch(line)
    if found is None:
        return None
    name, argument = found[1], (found[2] or "").strip()
    if name in ("?", "exit", "bye"):
        name = "help" if name == "?" else "quit"
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"; did you mean /{near[0]}?" if near else "; /help shows those there are"
        raise WrongCommandError(f"There is no command /{name}{hint}")
    return name, argument


class Commands:
    """Does what commands say, on one conversation.

    `run` returns what the program does next: "answer" the last message, "edit" (the number of the
    message is in `editing`), "quit", or None for nothing.
    """

    def __init__(self, talk: Talk, screen: Screen) -> None:
        self._talk = talk
        self._screen = screen
        self._file: Path | None = None  # where the conversation is saved
        self._before: list[dict[str, Any]] | None = None  # what /load or /clear has replaced
        self.editing = 0

    def run(self, name: str, argument: str) -> str | None:
        """Do a command; WrongCommandError, OSError, ValueError where it cannot be done."""
        if argument and not COMMANDS[name].argument:
            raise WrongCommandError(f"/{name} takes nothing after it")
        function: Callable[[str], str | None] = getattr(self, f"_{name}")
        return function(argument)

    def answered(self) -> None:
        """Note that the conversation has gone on: what /load or /clear replaced is gone."""
        self._before = None

    # Each of them

    def _help(self, _: str) -> None:
        self._screen.table([(f"/{c.name} {c.argument}", c.help) for c in COMMANDS.values()])
        self._screen.say(
            "Enter sends; Alt+Enter, or a backslash at the end of a line, begins a new line. "
            "Ctrl-C stops an answer. Ctrl-X Ctrl-E opens your editor."
        )

    def _quit(self, _: str) -> str:
        return "quit"

    def _system(self, text: str) -> None:
        chat = self._talk.chat
        if text:
            chat.system = None if text == "none" else text
        self._screen.say(f"System message: {chat.system}" if chat.system else "No system message.")

    def _clear(self, _: str) -> None:
        chat = self._talk.chat
        before = list(chat.messages)
        if not _has_turns(before):
            raise WrongCommandError("The conversation is new already.")
        chat.messages = [m for m in before[:1] if m["role"] == "system"]
        self._before = before
        self._file = None
        self._screen.say("A new conversation; /undo brings back the one before")

    def _undo(self, _: str) -> None:
        chat = self._talk.chat
        if self._before is not None:
            chat.messages, self._before = self._before, None
            self._file = None
            self._screen.say("The conversation is the one before again.")
            return
        removed = chat.undo()
        if not removed:
            raise WrongCommandError("There is nothing to take back.")
        self._screen.say(f"Taken back: {_short(removed[0])}")

    def _retry(self, _: str) -> str:
        self._numbers("answer")
        return "answer"

    def _edit(self, text: str) -> str:
        numbers = self._numbers("edit")
        n = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
        if text and not 1 <= n <= len(numbers):
            raise WrongCommandError(
                f"/edit: expected the number of a message of yours, 1 to {len(numbers)}, "
                f"found {text!r}"
            )
        self.editing = numbers[n - 1]
        return "edit"

    def _save(self, text: str) -> None:
        path = Path(text).expanduser() if text else self._file
        if path is None:
            raise WrongCommandError("/save needs the name of a file")
        if path.exists() and path != self._file:
            raise WrongCommandError(f"{path} exists already; choose another name")
        messages = self._talk.chat.messages
        write_messages(path, messages)
        self._file = path
        self._screen.say(f"Saved {len(messages)} messages to {path}")

    def _load(self, text: str) -> None:
        if not text:
            raise WrongCommandError("/load needs the name of a file")
        path, chat = Path(text).expanduser(), self._talk.chat
        before = list(chat.messages)
        chat.messages = read_messages(path)
        self._before = before if _has_turns(before) else None
        self._file = path
        self._screen.conversation(chat.messages)
        back = "; /undo brings back the one before" if self._before else ""
        self._screen.say(f"Loaded {len(chat.messages)} messages from {path}{back}")

    def _set(self, text: str) -> None:
        settings = self._talk.settings
        name, _, value = text.replace("=", " ").partition(" ")
        if not name:
            self._screen.table([*settings.rows()])
            return
        name = name.replace("-", "_")
        if not value.strip():
            near = [row for row in settings.rows() if row[0] == name]
            if not near:
                raise WrongCommandError(f"/set: expected one of {', '.join(NAMES)}, found {name!r}")
            self._screen.table([*near])
            return
        settings.set(name, value.strip())
        self._talk.changed(name)
        self._screen.table([row for row in settings.rows() if row[0] == name])

    def _think(self, text: str) -> None:
        chat, choices = self._talk.chat, {"on": True, "off": False, "auto": None}
        if not text:
            thoughts = [m["reasoning_content"] for m in chat.messages if "reasoning_content" in m]
            if not thoughts:
                raise WrongCommandError("Nothing was thought yet; /think takes on, off or auto.")
            self._screen.thought(thoughts[-1])
            return
        if text not in choices:
            raise WrongCommandError(f"/think: expected on, off or auto, found {text!r}")
        if not chat.can_think:
            raise WrongCommandError("This model has no format for thinking.")
        self._talk.think_first(choices[text])
        self._screen.say(f"Thinking: {text}")

    def _stats(self, _: str) -> None:
        talk = self._talk
        session, stats = talk.chat.session, talk.chat.stats
        rows = [("context", f"{len(session):,} of {session.n_ctx:,} tokens")]
        if stats is not None:
            rows += [
                ("read", f"{stats.n_prompt:,} tokens, {stats.prompt_rate:.1f} tokens/s"),
                ("reused", f"{stats.n_reused:,} tokens, read before"),
                ("generated", f"{stats.n_generated:,} tokens, {stats.generate_rate:.1f} tokens/s"),
                ("finished by", stats.finish_reason),
                ("computed by", talk.model.computed_by),
            ]
        self._screen.table([*rows])

    def _model(self, text: str) -> None:
        if text:
            self._talk.switch(Path(text).expanduser())
        self._screen.say(f"Model: {self._talk.path}, {self._talk.model.n_ctx:,} tokens of context")

    def _numbers(self, what: str) -> list[int]:
        """Return the indices of the user's messages; raise WrongCommandError if there are none."""
        messages = self._talk.chat.messages
        found = [i for i, message in enumerate(messages) if message["role"] == "user"]
        if not found:
            raise WrongCommandError(f"There is no message to {what} yet.")
        return found


def _has_turns(messages: list[dict[str, Any]]) -> bool:
    return any(message["role"] == "user" for message in messages)


def _short(message: dict[str, Any]) -> str:
    text = " ".join(str(message.get("content")).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
