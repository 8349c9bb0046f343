"""The interactive program: read a line, do a command or show an answer, again."""

from __future__ import annotations

import signal
import warnings
from contextlib import suppress
from functools import partial
from typing import Protocol

from llmpy.cli.chatting.answering import (
    Display,
    InterruptedAnswer,
    Start,
    interruptible,
    on_interrupt,
    shown,
    silent_keyboard,
)
from llmpy.cli.chatting.commands import Commands, WrongCommandError, command_in
from llmpy.cli.chatting.live import LiveDisplay
from llmpy.cli.chatting.plain import PlainDisplay
from llmpy.cli.chatting.screen import ConsoleScreen
from llmpy.cli.chatting.talk import Talk

__all__ = ["Program", "Reader"]


class Reader(Protocol):
    """Gives what a person writes."""

    def read(self, default: str = "", *, may_be_empty: bool = False) -> str | None:
        """Return a message or a command; None to leave."""


class Program:
    """A talk, the screen it is shown on, and who writes."""

    def __init__(
        self, talk: Talk, screen: ConsoleScreen, *, stats: bool = False, plain: bool = False
    ) -> None:
        self._talk = talk
        self._screen = screen
        self._commands = Commands(talk, screen)
        self._stats = stats
        self._plain = plain or screen.console.is_dumb_terminal
        self._default = ""  # what stands in the next line
        self._editing: int | None = None  # the message that the next line changes

    def run(self, reader: Reader) -> None:
        """Read and do lines until the person leaves."""
        talk = self._talk
        about = f"{talk.model.n_ctx:,} tokens of context"
        if talk.fresh:
            about += "; each message is answered alone"
        self._screen.title(talk.name, f"{about}. /help shows the commands, Ctrl-D leaves.")
        with silent_keyboard(), on_interrupt(lambda *_: None):  # while no line is read
            while True:
                default, self._default = self._default, ""
                if self._editing is None:
                    talk.begin_draft()
                line = reader.read(default, may_be_empty=self._editing is not None)
                self._screen.console.print()
                ends = line is None or self._do(line)
                talk.drop_draft()
                if ends:
                    return

    def status(self) -> list[str]:
        """Return the parts of the status line, most important first."""
        chat = self._talk.chat
        parts = [self._talk.name, f"{len(chat.session):,} of {chat.session.n_ctx:,} tokens"]
        if self._editing is not None:
            parts = ["changing a message; Ctrl-C leaves it as it was"]
        elif chat.stats is not None and chat.stats.n_generated > 1:
            parts.append(f"{chat.stats.generate_rate:.0f} tokens/s")
        return parts

    def typed(self, text: str) -> None:
        """Take note of what is being typed, so that a message is read meanwhile."""
        with suppress(WrongCommandError):
            if command_in(text) is None:
                self._talk.typed(text)

    def _do(self, line: str) -> bool:
        """Do one line; True to leave."""
        if self._editing is not None:
            self._change(self._editing, line)
            return False
        try:
            command = command_in(line)
            if command is None:
                self._answer(partial(self._talk.say, line), line)
                return False
            self._talk.drop_draft()
            with on_interrupt(signal.default_int_handler):
                action = self._commands.run(*command)
        except (WrongCommandError, OSError, RuntimeError, TypeError, ValueError) as error:
            self._screen.fail(str(error))
            return False
        except (KeyboardInterrupt, MemoryError) as error:
            self._screen.fail(str(error) or "Stopped.")
            return False
        if action == "answer":
            self._answer(self._talk.retry)
        elif action == "edit":
            self._editing = self._commands.editing
            self._default = str(self._talk.chat.messages[self._editing]["content"])
        return action == "quit"

    def _change(self, i: int, text: str) -> None:
        """Change message number `i` and answer it; where that fails, all is as before."""
        chat, self._editing = self._talk.chat, None
        before = list(chat.messages)
        if not text.strip() or text == before[i]["content"]:
            self._screen.say("Nothing changed.")
            return
        chat.edit(i, text)
        if not self._answer(self._talk.retry, text):
            chat.messages = before
            self._editing = i

    def _answer(self, start: Start, text: str = "") -> bool:
        """Show an answer; False where there is none: then the text stands in the next line."""
        import llmpy

        self._default = text
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                with interruptible() as stop:
                    reason = shown(start, self._display(), stop)
            except InterruptedAnswer:
                self._screen.say("Stopped before the answer began.")
                return False
            except llmpy.ContextFull as error:
                self._explain(f"{error.needed:,} tokens are needed, and it holds {error.n_ctx:,}")
                return False
            except (llmpy.LlmpyError, MemoryError, ValueError) as error:
                self._screen.fail(str(error) or "There is not enough memory.")
                return False
        self._default = ""
        self._commands.answered()
        self._screen.console.print()
        for warning in warned:
            self._screen.say(str(warning.message))
        self._remark(reason)
        return True

    def _remark(self, reason: str) -> None:
        """Say why an answer ended, where that was not its end."""
        n_ctx = self._talk.chat.session.n_ctx
        if reason == "interrupted":
            self._screen.say("Stopped. /retry answers again.")
        elif reason == "length":
            n = self._talk.settings.max_tokens
            self._screen.say(f"The answer was cut at max_tokens = {n} (/set max_tokens default).")
        elif reason == "context":
            self._explain(f"the answer ended because all {n_ctx:,} tokens are used")
        if self._stats and self._talk.chat.stats is not None:
            self._screen.say(str(self._talk.chat.stats))

    def _explain(self, why: str) -> None:
        """Say what a full context is, and what helps."""
        n_ctx = self._talk.chat.session.n_ctx
        drops = self._talk.settings.overflow == "drop_oldest"
        self._screen.fail(
            f"The context is full: {why}. The model reads the whole conversation for each answer."
        )
        rows = [
            ("/undo", "take back the last turn"),
            ("/set overflow drop_oldest", "leave out the oldest turns from now on"),
            (f"llmpy chat -c {2 * n_ctx}", "start with a larger context (after /save)"),
        ]
        self._screen.table([row for row in rows if not (drops and "overflow" in row[0])])
        if self._default:
            self._screen.say("Your message stands below: shorten it, or clear it with Ctrl-C.")

    def _display(self) -> Display:
        if self._plain:
            return PlainDisplay(self._screen.console.file, None)
        return LiveDisplay(self._screen.console, self._talk.settings.thinking)
