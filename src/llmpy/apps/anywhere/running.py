"""The program: chords start answers, one at a time, which are typed as they are generated."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import aclosing

import llmpy
from llmpy.apps.anywhere.answering import generate
from llmpy.apps.anywhere.chords import Chord, chord
from llmpy.apps.anywhere.config import Command, Config
from llmpy.apps.anywhere.desktop import Clipboard, Desktop, Stopped, open_clipboard, open_desktop
from llmpy.apps.anywhere.window import ask_line

__all__ = ["Models", "Program", "run", "run_once"]

NOTHING = {
    "left": "nothing is left of the cursor",
    "selection": "nothing is selected",
    "clipboard": "the clipboard holds no text",
    "window": "nothing was asked",
}
BREAKS = {"enter": chord("enter"), "shift-enter": chord("shift+enter")}


class Models:
    """The models of commands, each loaded once."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loaded: dict[str, llmpy.Model] = {}

    async def load(self, commands: list[Command], say: Callable[[str], object]) -> None:
        """Load the models of commands; errors say which is missing."""
        for name in dict.fromkeys(command.model or self._config.model for command in commands):
            default = None if name else llmpy.default_model()
            if not name and default is None:
                raise ValueError(
                    "model: none is named, and none is installed: llmpy pull smollm2, or name one "
                    "in the configuration"
                )
            given = name or (default.name if default is not None else "")
            say(f"loading {given}")
            self._loaded[name] = await llmpy.aload(given, n_ctx=self._config.n_ctx)

    def of(self, command: Command) -> llmpy.Model:
        """Return the model of a command."""
        return self._loaded[command.model or self._config.model]

    def close(self) -> None:
        """Close all."""
        for model in self._loaded.values():
            model.close()


class Program:
    """Answers on a desktop; `say` is told what happens, a line each."""

    def __init__(
        self, config: Config, desktop: Desktop, models: Models, say: Callable[[str], object]
    ) -> None:
        self._chords = config.chords()
        self._desktop, self._models, self._say = desktop, models, say
        self._job: asyncio.Task[None] | None = None
        self._settled = False

    async def serve(self) -> None:
        """Answer chords until the desktop is gone, which is a RuntimeError."""
        names = ", ".join(f"{one} {command.name}" for one, command in self._chords.items())

        def ready() -> None:
            self._say(f"ready on {self._desktop.name}: {names}")

        try:
            await self._desktop.listen(self._chords, self._hear, ready)
        finally:
            if self._job is not None and not self._job.done():
                self._job.cancel()
                await asyncio.wait([self._job], timeout=5)

    async def answer(self, command: Command) -> None:
        """Take a text, and type what the model makes of it; Stopped says why that cannot be."""
        desktop = self._desktop
        self._settled = False
        await desktop.settle()
        self._settled = True
        in_window = command.input == "window"
        text = await (ask_line(command.name) if in_window else desktop.take(command.input))
        if not text.strip():
            raise Stopped(NOTHING[command.input])
        task = asyncio.current_task()
        assert task is not None
        await desktop.watch(task.cancel)
        self._say(f"{command.name}: read {len(text)} characters")
        began, typed = time.monotonic(), 0
        try:
            pieces = generate(self._models.of(command), command, text, one_line=desktop.terminal)
            async with aclosing(pieces):
                async for piece in pieces:
                    typed += len(piece)
                    for part in re.split("(\n)", piece):
                        if part != "\n":
                            await desktop.type(part)
                        elif command.newline in BREAKS:
                            await desktop.press(BREAKS[command.newline])
                        else:
                            await desktop.type(" ")
        finally:
            await desktop.unwatch()
        seconds = time.monotonic() - began
        self._say(f"{command.name}: typed {typed} characters in {seconds:.1f} s")

    def _hear(self, one: Chord) -> None:
        """Start an answer; while there is one, any chord ends it."""
        if self._job is not None and not self._job.done():
            if self._settled:  # else the keys are still held, and repeat
                self._job.cancel()
            return
        self._job = asyncio.create_task(self._try(self._chords[one]))

    async def _try(self, command: Command) -> None:
        try:
            await self.answer(command)
        except asyncio.CancelledError:
            self._say(f"{command.name}: cancelled")
        except Exception as error:
            self._say(f"{command.name}: {' '.join(str(error).split()) or type(error).__name__}")


def run(config: Config, say: Callable[[str], object]) -> None:
    """Answer chords until interrupted; RuntimeError and ValueError say why that cannot be."""
    asyncio.run(_run(config, say))


def run_once(
    config: Config, say: Callable[[str], object], name: str | None = None, clipboard: bool = False
) -> None:
    """Run a command, the first if none is named, and end.

    With `clipboard`, its text is that of the clipboard, and the answer takes the place of it:
    nothing is typed. RuntimeError and ValueError say why there is no answer.
    """
    command = config.command(name)
    asyncio.run((_replace if clipboard else _run_once)(config, say, command))


async def _run(config: Config, say: Callable[[str], object]) -> None:
    models, desktop = Models(config), await open_desktop(config)
    try:
        await models.load(config.commands, say)
        await Program(config, desktop, models, say).serve()
    finally:
        await desktop.close()
        models.close()


async def _run_once(config: Config, say: Callable[[str], object], command: Command) -> None:
    models, desktop = Models(config), await open_desktop(config)
    hearing = asyncio.create_task(desktop.listen((), lambda _: None, lambda: None))
    try:
        await models.load([command], say)
        await Program(config, desktop, models, say).answer(command)
    except Stopped as why:
        raise RuntimeError(f"{command.name}: {why}") from why
    except asyncio.CancelledError:
        raise RuntimeError(f"{command.name}: cancelled") from None
    finally:
        hearing.cancel()
        await desktop.close()
        models.close()


async def _replace(config: Config, say: Callable[[str], object], command: Command) -> None:
    clipboard: Clipboard = await open_clipboard(config)
    models = Models(config)
    try:
        text = await clipboard.take("clipboard")
        if not text.strip():
            raise RuntimeError(f"{command.name}: {NOTHING['clipboard']}")
        await models.load([command], say)
        answer = "".join([piece async for piece in generate(models.of(command), command, text)])
        await clipboard.copy(answer)
        say(f"{command.name}: {len(answer)} characters are on the clipboard")
    finally:
        await clipboard.close()
        models.close()
