"""X11: chords by grabs, so that no program sees them; typing by XTEST; text by selections."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from Xlib import X, Xatom, display, error
from Xlib.ext import xtest

from llmpy.apps.anywhere.chords import Chord, chord, keysym
from llmpy.apps.anywhere.config import Config
from llmpy.apps.anywhere.desktop import Stopped
from llmpy.apps.anywhere.selections import Selections

__all__ = ["X11"]

MASKS = {"ctrl": X.ControlMask, "alt": X.Mod1Mask, "shift": X.ShiftMask, "super": X.Mod4Mask}
NAMES = {"ctrl": 0xFFE3, "alt": 0xFFE9, "shift": 0xFFE1, "super": 0xFFEB}  # keysyms, left ones
LOCKS = (0, X.LockMask, X.Mod2Mask, X.LockMask | X.Mod2Mask)  # caps lock and num lock
CLICKS = X.Button1Mask | X.Button2Mask | X.Button3Mask
TERMINALS = {"konsole", "kitty", "alacritty", "terminator", "tilix", "guake", "yakuake", "hyper"}
TERMINALS |= {"st", "foot", "rio", "ghostty", "org.wezfurlong.wezterm", "org.gnome.console"}
CHUNK = 4  # characters whose keys are borrowed at once: fewer than are free on any keyboard
GONE = (error.ConnectionClosedError, OSError)


class X11:
    """The display that DISPLAY names; RuntimeError if there is none that can be used."""

    name = "X11"

    def __init__(self, config: Config, name: str | None = None) -> None:
        try:
            self._display = display.Display(name)
        except (error.DisplayError, OSError) as why:
            raise RuntimeError(
                f"no display: expected DISPLAY to name one ({why}): start llmpy anywhere within "
                f"a desktop"
            ) from why
        for extension in ("XTEST", "XFIXES"):
            if not self._display.has_extension(extension):
                raise RuntimeError(f"the display lacks the extension {extension}")
        self._display.set_error_handler(lambda *_: None)  # of windows that close meanwhile
        self._root = self._display.screen().root
        self._select, self._copy = chord(config.select), chord(config.copy)
        self._cancel_chord = chord(config.cancel)
        self._delay = config.delay
        self._terminals = TERMINALS | {name.lower() for name in config.terminals}
        self._grabbed: dict[tuple[int, int], Chord] = {}
        self._pressed: Callable[[Chord], None] = lambda _: None
        self._cancel: Callable[[], object] | None = None
        self._focus: Any = None
        self.terminal = False
        self._borrowed: dict[int, int] = {}
        self._lag = 0.0  # seconds until programs know the keys that were borrowed
        self._read_keyboard()
        self.selections = Selections(self._display, self._pump)

    async def listen(
        self,
        chords: Iterable[Chord],
        pressed: Callable[[Chord], None],
        ready: Callable[[], None],
    ) -> None:
        """Grab the chords, and report them until the display is gone."""
        self._pressed = pressed
        for one in chords:
            self._grab(one)
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        number = self._display.fileno()

        def readable() -> None:
            try:
                self._pump(lambda: False, 0)
            except GONE as why:
                loop.remove_reader(number)
                gone.set_exception(RuntimeError(f"the display is gone: {why}"))

        loop.add_reader(number, readable)
        readable()
        ready()
        try:
            await gone
        finally:
            loop.remove_reader(number)

    async def settle(self) -> None:
        """Wait until no key is held; what is held after 3 seconds is released."""
        end = time.monotonic() + 3
        while held := self._held():
            if time.monotonic() > end:
                for keycode in held:
                    xtest.fake_input(self._display, X.KeyRelease, keycode)
                self._display.sync()
                break
            await asyncio.sleep(0.01)
        self._pump(lambda: False, 0)
        self._focus = self._focused()
        self.terminal = self._is_terminal(self._focus)

    async def take(self, what: str) -> str:
        """Return a text; in a terminal, what is selected with the mouse."""
        if what == "clipboard":
            return self.selections.text("CLIPBOARD")
        if self.terminal:
            return self.selections.text("PRIMARY").rstrip("\n")
        if what == "left":
            primary = self._changes("PRIMARY")
            await self._press(self._select)
            if self._pump(lambda: self._changes("PRIMARY") > primary, 0.3):
                text = self.selections.text("PRIMARY")
            else:  # a program that does not say what is selected until it is copied
                text = await self._copied()
            if text:
                await self._press(chord("right"))  # to where the cursor was
            return text
        return await self._copied()

    async def watch(self, cancel: Callable[[], object]) -> None:
        """Grab the key that cancels, once the focus is where it was."""
        end = time.monotonic() + 1
        while self._focused() != self._focus:
            if time.monotonic() > end:
                raise Stopped("the focus changed")
            await asyncio.sleep(0.02)
        self._cancel = cancel
        self._grab(self._cancel_chord)

    async def unwatch(self) -> None:
        """Let programs have that key again."""
        self._cancel = None
        keycode, state = next(k for k, one in self._grabbed.items() if one == self._cancel_chord)
        del self._grabbed[keycode, state]
        for locks in LOCKS:
            self._root.ungrab_key(keycode, state | locks)
        self._display.sync()
        self._pump(lambda: False, 0)

    async def type(self, text: str) -> None:
        """Type a text character by character."""
        for at in range(0, len(text), CHUNK):
            keys = [self._key_for(character) for character in text[at : at + CHUNK]]
            await self._remap()
            for keycode, shifted in keys:
                self._check_focus()
                self._tap(keycode, ("shift",) if shifted else ())
                await asyncio.sleep(self._delay)
        self._pump(lambda: False, 0)

    async def press(self, one: Chord) -> None:
        """Press a chord."""
        self._check_focus()
        await self._press(one)

    async def copy(self, text: str) -> None:
        """Put a text on the clipboard, which this process then offers."""
        self.selections.offer("CLIPBOARD", text)

    async def close(self) -> None:
        """Take back what was changed of the keyboard, and leave the display."""
        with suppress(*GONE):
            self.selections.leave()
            if self._borrowed:
                await asyncio.sleep(0.3)  # programs may not have read their last use yet
            for keycode in self._borrowed.values():
                self._map(keycode, 0)
            self._display.sync()
            self._display.close()

    # ------------------------------------------------------------------ events

    def _pump(self, until: Callable[[], bool], seconds: float) -> bool:
        """Handle events until something is so, at most for some seconds; return whether it is."""
        end = time.monotonic() + seconds
        while True:
            while self._display.pending_events():
                self._handle(self._display.next_event())
            if until():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            select.select([self._display.fileno()], [], [], left)

    def _handle(self, event: Any) -> None:
        if event.type == X.KeyPress:
            state = event.state & (X.ControlMask | X.Mod1Mask | X.ShiftMask | X.Mod4Mask)
            one = self._grabbed.get((event.detail, state))
            if one is not None and one != self._cancel_chord:
                self._pressed(one)
            elif one is not None and self._cancel is not None:
                self._cancel()
        elif event.type == X.MappingNotify:
            self._display.refresh_keyboard_mapping(event)
            if event.request == X.MappingKeyboard:
                self._read_keyboard()
        else:
            self.selections.handle(event)

    def _grab(self, one: Chord) -> None:
        keycode = self._keycode(one.keysym)
        state = sum(MASKS[name] for name in one.modifiers)
        failed = error.CatchError(error.BadAccess)
        for locks in LOCKS:
            self._root.grab_key(
                keycode, state | locks, False, X.GrabModeAsync, X.GrabModeAsync, onerror=failed
            )
        self._display.sync()
        if failed.get_error() is not None:
            raise RuntimeError(f"keys: {one} belongs to another program: choose other keys")
        self._grabbed[keycode, state] = one

    # ---------------------------------------------------------------- keyboard

    def _read_keyboard(self) -> None:
        """Read the layout; what was borrowed may be gone with the one before."""
        info = self._display.display.info
        self._first, last = info.min_keycode, info.max_keycode
        self._keysyms = self._display.get_keyboard_mapping(self._first, last - self._first + 1)
        keys = {self._first + i: syms for i, syms in enumerate(self._keysyms)}
        self._borrowed = {s: code for s, code in self._borrowed.items() if keys[code][0] == s}
        taken = self._borrowed.values()
        self._spare = [code for code, syms in keys.items() if code not in taken and not any(syms)]

    def _keycode(self, symbol: int) -> int:
        keycode = int(self._display.keysym_to_keycode(symbol))
        if not keycode:
            raise RuntimeError(f"keys: the keyboard has no key {symbol:#x}: choose other keys")
        return keycode

    def _key_for(self, character: str) -> tuple[int, bool]:
        """Return the keycode that types a character now, and whether with Shift."""
        symbol = keysym(character)
        state = self._root.query_pointer().mask
        column = 2 * ((state >> 13) & 3)  # of the layout that is on
        caps = bool(state & X.LockMask) and character.isalpha()
        borrowed = self._borrowed.values()
        for i, syms in enumerate(self._keysyms):
            pair = tuple(syms[column : column + 2])
            if symbol in pair and self._first + i not in borrowed:
                return self._first + i, (pair.index(symbol) == 1) != caps
        return self._borrow(symbol), False

    def _borrow(self, symbol: int) -> int:
        """Return a spare keycode that types a character on every layout."""
        if symbol in self._borrowed:
            self._borrowed[symbol] = self._borrowed.pop(symbol)  # the last one used
            return self._borrowed[symbol]
        if self._spare:
            keycode = int(self._spare.pop())
            self._lag = max(self._lag, 0.05)
        elif self._borrowed:
            keycode = self._borrowed.pop(next(iter(self._borrowed)))
            self._lag = 0.2  # they may not have read the last use of this key yet
        else:
            raise Stopped(f"the keyboard has no key for {chr(symbol & 0xFFFFFF)!r}, and none free")
        self._map(keycode, symbol)
        self._borrowed[symbol] = keycode
        return keycode

    async def _remap(self) -> None:
        """Wait until programs have heard of the keys that were borrowed."""
        if self._lag:
            self._display.sync()
            await asyncio.sleep(self._lag)
            self._lag = 0.0

    def _map(self, keycode: int, symbol: int) -> None:
        width = len(self._keysyms[0])
        self._display.change_keyboard_mapping(keycode, [[symbol] * width])

    async def _press(self, one: Chord) -> None:
        code = self._display.keysym_to_keycode(one.keysym) or self._borrow(one.keysym)
        await self._remap()
        self._tap(code, one.modifiers)

    def _tap(self, keycode: int, modifiers: Iterable[str]) -> None:
        held = [self._keycode(NAMES[name]) for name in modifiers]
        for code in (*held, keycode):
            xtest.fake_input(self._display, X.KeyPress, code)
        for code in (keycode, *reversed(held)):
            xtest.fake_input(self._display, X.KeyRelease, code)
        self._display.sync()

    def _held(self) -> list[int]:
        bits = self._display.query_keymap()
        return [i for i in range(256) if bits[i // 8] >> i % 8 & 1]

    # ------------------------------------------------------- focus, selections

    def _focused(self) -> int:
        focus = self._display.get_input_focus().focus
        return int(getattr(focus, "id", focus))

    def _check_focus(self) -> None:
        if self._focused() != self._focus:
            raise Stopped("the focus changed")
        if self._root.query_pointer().mask & CLICKS:
            raise Stopped("the mouse was clicked")

    def _is_terminal(self, focus: int) -> bool:
        """Return whether the window, or one around it, has the class of a terminal."""
        window = self._display.create_resource_object("window", focus)
        with suppress(error.XError):
            while focus > X.PointerRoot and window != self._root:
                found = window.get_full_property(Xatom.WM_CLASS, Xatom.STRING)
                if found is not None:
                    names = bytes(found.value).decode("latin-1").lower().split("\0")
                    return any("term" in one or one in self._terminals for one in names)
                window = window.query_tree().parent
        return False

    def _changes(self, name: str) -> int:
        return self.selections.changes[int(self._display.intern_atom(name))]

    async def _copied(self) -> str:
        """Return what the program copies; the clipboard is then as it was."""
        before = self.selections.content("CLIPBOARD")
        if before is None:
            raise Stopped("the clipboard holds too much to be kept meanwhile")
        changes = self._changes("CLIPBOARD")
        await self._press(self._copy)
        if not self._pump(lambda: self._changes("CLIPBOARD") > changes, 1):
            return ""
        text = self.selections.text("CLIPBOARD")
        self.selections.offer("CLIPBOARD", before)
        return text
