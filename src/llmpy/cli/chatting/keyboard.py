"""The line a person writes: keys, history, completion, and the status below it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from llmpy.cli.chatting.commands import COMMANDS, SIGN
from llmpy.cli.chatting.settings import CHOICES, NAMES
from llmpy.cli.terminal import cleaned

__all__ = ["CommandCompleter", "KeptHistory", "Keyboard", "opened_history"]

PROMPT, CONTINUED = f"{SIGN} ", "  "
STYLE = Style.from_dict(
    {
        "prompt": "bold ansidefault fg:#5f87af",
        "bottom-toolbar": "noreverse fg:#878787",
        "bottom-toolbar.warning": "fg:#d75f5f",
        "completion-menu": "bg:default fg:#878787",
        "completion-menu.completion": "bg:default fg:#878787",
        "completion-menu.completion.current": "bold noreverse bg:default fg:#5f87af",
        "completion-menu.meta.completion": "bg:default fg:#878787",
        "completion-menu.meta.completion.current": "bg:default fg:#5f87af",
        "scrollbar.background": "bg:default",
        "scrollbar.button": "bg:#878787",
    }
)
PATHS = ("load", "save", "model")


class KeptHistory(FileHistory):
    """A history in a file; where that cannot be written, it lasts as long as the program."""

    def load_history_strings(self) -> Iterable[str]:
        """Return what was written before, newest first."""
        with suppress(OSError):
            return list(super().load_history_strings())
        return []

    def store_string(self, string: str) -> None:
        """Append an entry to the file."""
        with suppress(OSError):
            super().store_string(string.encode("utf-8", "replace").decode())


def opened_history(folder: Path) -> History:
    """Return the history in a folder, which is made, and readable for its user alone."""
    path = folder / "history"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600))
    except OSError:
        return InMemoryHistory()
    return KeptHistory(str(path))


class CommandCompleter(Completer):
    """Completes commands, settings and their values, and names of files."""

    def __init__(self) -> None:
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """Return what may follow the text before the cursor."""
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, rest = text[1:].partition(" ")
        if not space:
            for command in COMMANDS.values():
                if command.name.startswith(name):
                    about = {"display": f"/{command.name}", "display_meta": command.help}
                    yield Completion(command.name, -len(name), **about)
        elif name in PATHS:
            yield from self._paths.get_completions(Document(rest), event)
        elif name == "think":
            yield from _matching(("on", "off", "auto"), rest)
        elif name == "set":
            setting, second, value = rest.partition(" ")
            yield from (
                _matching(CHOICES.get(setting, ()), value) if second else _matching(NAMES, setting)
            )


def _matching(words: Iterable[str], start: str) -> Iterable[Completion]:
    return (Completion(word, -len(start)) for word in words if word.startswith(start))


class Keyboard:
    """Reads messages. `status` gives the parts of the line below, most important first.

    `typed` is called with the text so far after each change of it.
    """

    def __init__(
        self,
        history: History,
        status: Callable[[], list[str]],
        typed: Callable[[str], object] = str,
        *,
        input: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self._status = status
        self._typed = typed
        self._warned = False
        self._may_be_empty = False
        self._session: PromptSession[str] = PromptSession(
            [("class:prompt", PROMPT)],
            multiline=True,
            prompt_continuation=CONTINUED,
            key_bindings=self._keys(),
            history=history,
            completer=CommandCompleter(),
            complete_while_typing=True,
            bottom_toolbar=self._toolbar,
            style=STYLE,
            include_default_pygments_style=False,
            enable_open_in_editor=True,
            enable_suspend=True,
            reserve_space_for_menu=6,
            input=input,
            output=output,
        )
        self._session.default_buffer.on_text_changed += self._changed

    def read(self, default: str = "", *, may_be_empty: bool = False) -> str | None:
        """Return what was written, without halves of characters; None to leave.

        `default` stands there to be changed. Nothing is returned only where it `may_be_empty`.
        """
        self._warned, self._may_be_empty = False, may_be_empty
        try:
            text = self._session.prompt(default=default)
        except EOFError:
            return None
        return text.encode("utf-8", "replace").decode()

    def _changed(self, buffer: Buffer) -> None:
        self._warned = False
        self._typed(buffer.text)

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if buffer.document.text_before_cursor.endswith("\\"):
                buffer.delete_before_cursor()
                buffer.newline(copy_margin=False)
            elif buffer.text.strip() or self._may_be_empty:
                buffer.validate_and_handle()

        @keys.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.newline(copy_margin=False)

        @keys.add("c-c")
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            text = buffer.text
            if text:
                buffer.append_to_history()
                buffer.reset()
            if self._may_be_empty:
                event.app.exit(result="")
            elif not text and self._warned:
                event.app.exit(exception=EOFError)
            elif not text:
                self._warned = True

        return keys

    def _toolbar(self) -> StyleAndTextTuples:
        if self._warned:
            return [("class:bottom-toolbar.warning", "  Ctrl-C again leaves")]
        width, shown = get_app().output.get_size().columns, ""
        for part in self._status():
            longer = f"{shown}  ·  {part}" if shown else f"  {part}"
            if len(longer) < width or not shown:
                shown = longer
        return [("class:bottom-toolbar", cleaned(shown)[: width - 1])]
