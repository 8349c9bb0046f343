"""Windows and macOS: keys by pynput, the clipboard by pyperclip.

Chords are seen by the program that has the focus too. Any key and any click of the user ends what
is being typed, as these systems do not say in the same words where the focus is.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from llmpy.apps.anywhere.chords import Chord, chord
from llmpy.apps.anywhere.config import Config

__all__ = ["Others"]


class Others:
    """The keyboard and the clipboard; RuntimeError where macOS does not trust this program."""

    name = {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
    terminal = False

    def __init__(self, config: Config) -> None:
        import pyperclip  # here, as they cannot be imported where there is no display
        from pynput import keyboard, mouse

        self._clipboard, self._keyboard, key = pyperclip, keyboard, keyboard.Key
        self._modifiers = {"ctrl": key.ctrl, "alt": key.alt, "shift": key.shift, "super": key.cmd}
        self._keys = keyboard.Controller()
        self._select, self._copy = chord(config.select), chord(config.copy)
        self._cancel_key = chord(config.cancel)
        self._delay = config.delay
        self._held: set[Any] = set()
        self._chords: dict[frozenset[Any], Chord] = {}
        self._pressed: Callable[[Chord], None] = lambda _: None
        self._cancel: Callable[[], object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener = keyboard.Listener(on_press=self._down, on_release=self._up)
        self._mouse = mouse.Listener(on_click=self._click)

    async def listen(
        self,
        chords: Iterable[Chord],
        pressed: Callable[[Chord], None],
        ready: Callable[[], None],
    ) -> None:
        """Hear the chords."""
        self._start()
        self._pressed = pressed
        self._chords = {frozenset(self._parts(one)): one for one in chords}
        ready()
        while self._listener.is_alive():
            await asyncio.sleep(1)
        raise RuntimeError("the keyboard can no longer be heard")

    async def settle(self) -> None:
        """Wait until no key is held; what is held after 3 seconds is released."""
        self._start()
        end = time.monotonic() + 3
        while self._held and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for key in list(self._held):
            self._keys.release(key)
        self._held.clear()

    async def take(self, what: str) -> str:
        """Return a text by the clipboard, whose text is then as it was."""
        before = str(self._clipboard.paste())
        if what == "clipboard":
            return before
        if what == "left":
            await self.press(self._select)
        self._clipboard.copy("")
        await self.press(self._copy)
        text, end = "", time.monotonic() + 1
        while not text and time.monotonic() < end:
            await asyncio.sleep(0.02)
            text = str(self._clipboard.paste())
        self._clipboard.copy(before)
        if text and what == "left":
            await self.press(chord("right"))
        return text

    async def watch(self, cancel: Callable[[], object]) -> None:
        """Let keys and clicks of the user cancel."""
        await asyncio.sleep(0.2)  # until a window that is gone has given the focus back
        self._cancel = cancel

    async def unwatch(self) -> None:
        """End that."""
        self._cancel = None

    async def type(self, text: str) -> None:
        """Type a text character by character."""
        for character in text:
            self._keys.type(character)
            await asyncio.sleep(self._delay)

    async def press(self, one: Chord) -> None:
        """Press a chord."""
        modifiers = [self._modifiers[name] for name in one.modifiers]
        with self._keys.pressed(*modifiers):
            self._keys.tap(self._key(one))
        await asyncio.sleep(0.05)

    async def copy(self, text: str) -> None:
        """Put a text on the clipboard."""
        self._clipboard.copy(text)

    async def close(self) -> None:
        """Stop hearing keys and clicks."""
        self._listener.stop()
        self._mouse.stop()

    def _start(self) -> None:
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._listener.start()
        self._mouse.start()
        self._listener.wait()
        if sys.platform == "darwin" and not self._listener.IS_TRUSTED:
            raise RuntimeError(
                "macOS does not let this program press keys: allow your terminal in System "
                "Settings, Privacy & Security, under Accessibility and Input Monitoring"
            )

    def _key(self, one: Chord) -> Any:
        return one.key if len(one.key) == 1 else self._keyboard.Key[one.key]

    def _parts(self, one: Chord) -> list[Any]:
        keys = [*(self._modifiers[name] for name in one.modifiers), self._key(one)]
        return [self._listener.canonical(self._code(key)) for key in keys]

    def _code(self, key: Any) -> Any:
        return self._keyboard.KeyCode.from_char(key) if isinstance(key, str) else key

    def _down(self, key: Any, injected: bool = False) -> None:
        """Hear a key, in the thread of the listener."""
        if injected or self._loop is None:
            return
        key = self._listener.canonical(key)
        repeats = key in self._held
        self._held.add(key)
        one = self._chords.get(frozenset(self._held))
        if one is not None and not repeats:
            self._loop.call_soon_threadsafe(self._pressed, one)
        elif not repeats:
            self._loop.call_soon_threadsafe(self._interrupt)

    def _up(self, key: Any, injected: bool = False) -> None:
        if not injected:
            self._held.discard(self._listener.canonical(key))

    def _click(self, _x: int, _y: int, _button: Any, pressed: bool, injected: bool = False) -> None:
        if pressed and not injected and self._loop is not None:
            self._loop.call_soon_threadsafe(self._interrupt)

    def _interrupt(self) -> None:
        if self._cancel is not None:
            self._cancel()
