"""The contract of a desktop: keys, typing, clipboard and focus, so that text can be completed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from llmpy.apps.anywhere.chords import Chord
from llmpy.apps.anywhere.config import Config

__all__ = ["Clipboard", "Desktop", "Stopped", "open_clipboard", "open_desktop"]


class Stopped(Exception):
    """An answer cannot go on; the text says why."""


@runtime_checkable
class Clipboard(Protocol):
    """The clipboard of a session."""

    async def take(self, what: str) -> str:
        """Return the text of the "clipboard"."""
        ...

    async def copy(self, text: str) -> None:
        """Put a text on the clipboard, where it stays after `close`."""

    async def close(self) -> None:
        """Let go of the session."""


class Desktop(Protocol):
    """A session of a user: its keyboard, its clipboard, its focus.

    An answer is `settle`, then `take`, then `watch`, `type` and `press`, then `unwatch`.
    """

    name: str
    terminal: bool
    """Whether the focus is in a terminal; known after `settle`."""

    async def listen(
        self,
        chords: Iterable[Chord],
        pressed: Callable[[Chord], None],
        ready: Callable[[], None],
    ) -> None:
        """Call `pressed` when a chord is pressed, and `ready` once that is so.

        Returns never; RuntimeError says what ended it.
        """

    async def settle(self) -> None:
        """Wait until no key is held, and keep where the focus is."""

    async def take(self, what: str) -> str:
        """Return the text at "left" of the cursor, of the "selection" or of the "clipboard"."""
        ...

    async def watch(self, cancel: Callable[[], object]) -> None:
        """Call `cancel` when the key that cancels is pressed, until `unwatch`.

        Raises Stopped where the focus does not come back to where it was.
        """

    async def unwatch(self) -> None:
        """End `watch`."""

    async def type(self, text: str) -> None:
        """Type a text, without line breaks; Stopped if the focus is elsewhere."""

    async def press(self, one: Chord) -> None:
        """Press a chord and release it; Stopped if the focus is elsewhere."""

    async def close(self) -> None:
        """Let go of the session."""


async def open_desktop(config: Config) -> Desktop:
    """Return the desktop of this session; RuntimeError says in one line why there is none."""
    try:
        if sys.platform != "linux":
            from llmpy.apps.anywhere.others import Others

            return Others(config)
        if os.environ.get("WAYLAND_DISPLAY"):
            from llmpy.apps.anywhere.portal import Portal

            return await Portal.open(config)
        from llmpy.apps.anywhere.x11 import X11

        return X11(config)
    except ImportError as error:
        raise RuntimeError("llmpy anywhere needs: pip install 'llmpy[desktop]'") from error


async def open_clipboard(config: Config) -> Clipboard:
    """Return the clipboard of this session; RuntimeError says in one line why there is none."""
    if sys.platform == "linux" and os.environ.get("WAYLAND_DISPLAY"):
        return WaylandClipboard()
    desktop = await open_desktop(config)
    assert isinstance(desktop, Clipboard)  # as those of all other sessions are
    return desktop


class WaylandClipboard:
    """The clipboard of Wayland by wl-clipboard, for desktops that have no portals."""

    async def take(self, _what: str) -> str:
        """Return the text."""
        return await self._run("wl-paste", "--no-newline", "--type", "text")

    async def copy(self, text: str) -> None:
        """Put a text there; wl-copy goes on to offer it."""
        await self._run("wl-copy", "--type", "text/plain;charset=utf-8", given=text)

    async def close(self) -> None:
        """Do nothing."""

    async def _run(self, *command: str, given: str = "") -> str:
        pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=none if given else pipe, stderr=none
            )
        except FileNotFoundError as error:
            raise RuntimeError(
                f"the clipboard of Wayland needs {command[0]}: install wl-clipboard"
            ) from error
        out, _ = await process.communicate(given.encode())
        return (out or b"").decode("utf-8", "replace")
