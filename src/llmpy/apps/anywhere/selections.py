"""Selections of X11, the clipboard among them: read, kept whole, and offered again."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from Xlib import X, Xatom
from Xlib.protocol import event as events
from Xlib.protocol import request

__all__ = ["MOST", "Content", "Selections"]

MOST = 64 << 20  # bytes of a clipboard that is kept
CHUNK = 200_000  # bytes of a property that every server takes
TEXTS = ("UTF8_STRING", "text/plain;charset=utf-8", "STRING", "TEXT")
NO_CONTENT = ("TARGETS", "MULTIPLE", "TIMESTAMP", "SAVE_TARGETS", "DELETE", "INSERT_SELECTION")


class Value(NamedTuple):
    """One property: its type, the bits of a number in it (8, 16, 32), and the numbers."""

    kind: int
    bits: int
    data: Any


Content = dict[int, Value]
"""What a selection holds, by target."""


class Selections:
    """The selections of a display; `pump(until, seconds)` handles events until something is so."""

    def __init__(self, display: Any, pump: Callable[[Callable[[], bool], float], bool]) -> None:
        self._display, self._pump = display, pump
        root = display.screen().root
        self._window = root.create_window(
            0, 0, 1, 1, 0, X.CopyFromParent, event_mask=X.PropertyChangeMask
        )
        self._property = self._atom("LLMPY")
        self.changes: dict[int, int] = {}
        self._offered: Content = {}
        self._answer: Any = None
        self._chunks = 0
        self._sending: dict[tuple[int, int], Value] = {}
        display.xfixes_query_version()
        for name in ("PRIMARY", "CLIPBOARD"):
            self.changes[self._atom(name)] = 0
            display.xfixes_select_selection_input(self._window, self._atom(name), 1)

    def _atom(self, name: str) -> int:
        return int(self._display.intern_atom(name))

    def text(self, name: str) -> str:
        """Return the text of a selection, "" if it has none."""
        for target in TEXTS:
            value = self._read(name, self._atom(target))
            if value is not None and value.bits == 8:
                encoding = "latin-1" if value.kind == Xatom.STRING else "utf-8"
                return bytes(value.data).decode(encoding, "replace").rstrip("\0")
        return ""

    def content(self, name: str) -> Content | None:
        """Return all that a selection holds; None if it is more than `MOST` bytes."""
        owner = self._display.get_selection_owner(self._atom(name))
        if owner == X.NONE:
            return {}
        if owner == self._window:
            return self._offered
        targets = self._read(name, self._atom("TARGETS"))
        found: Content = {}
        size = 0
        for target in [] if targets is None else targets.data:
            if self._display.get_atom_name(target) in NO_CONTENT:
                continue
            value = self._read(name, target)
            if value is not None:
                found[target] = value
                size += len(value.data) * value.bits // 8
            if size > MOST:
                return None
        return found

    def offer(self, name: str, content: Content | str) -> None:
        """Own a selection with that content; nobody owns it if there is none."""
        if isinstance(content, str):
            data = content.encode()
            kinds = (self._atom(target) for target in TEXTS[:2])
            content = {kind: Value(kind, 8, data) for kind in kinds}
        self._offered = content
        atom = self._atom(name)
        self._window.set_selection_owner(atom, X.CurrentTime)
        if not content:  # a server takes away only what one owns
            request.SetSelectionOwner(
                display=self._display.display, window=X.NONE, selection=atom, time=X.CurrentTime
            )
        self._display.flush()

    def owns(self, name: str) -> bool:
        """Return whether others get a selection from here."""
        return bool(self._display.get_selection_owner(self._atom(name)) == self._window)

    def leave(self) -> None:
        """Leave the clipboard to a process that offers it until something else is copied."""
        if not self.owns("CLIPBOARD"):
            return
        keeper = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        with keeper.stdin, keeper.stdout, suppress(BrokenPipeError):
            pickle.dump(
                {k: (v.kind, v.bits, v.data) for k, v in self._offered.items()}, keeper.stdin
            )
            keeper.stdin.close()
            keeper.stdout.read(1)  # it has the clipboard now
        keeper.returncode = 0  # it outlives this process

    def handle(self, event: Any) -> None:
        """Handle an event, if it is about selections."""
        if event.type == X.SelectionNotify:
            self._answer = event
        elif event.type == X.SelectionRequest:
            self._serve(event)
        elif event.type == X.PropertyNotify:
            own = event.window == self._window
            if own and event.state == X.PropertyNewValue and event.atom == self._property:
                self._chunks += 1
            elif not own and event.state == X.PropertyDelete:
                self._send(event.window, event.atom)
        elif type(event).__name__ == "SetSelectionOwnerNotify":
            self.changes[event.selection] = self.changes.get(event.selection, 0) + 1

    def _read(self, name: str, target: int) -> Value | None:
        """Return one target of a selection, None if it is refused or does not come."""
        self._answer, self._chunks = None, 0
        self._window.delete_property(self._property)
        self._window.convert_selection(self._atom(name), target, self._property, X.CurrentTime)
        if not self._pump(lambda: self._answer is not None, 1.0) or not self._answer.property:
            return None
        self._chunks = 0
        got = self._window.get_full_property(self._property, X.AnyPropertyType)
        if got is None:
            return None
        if got.property_type != self._atom("INCR"):
            return Value(got.property_type, got.format, got.value)
        whole: Any = None
        end = time.monotonic() + 10
        while time.monotonic() < end:  # the owner sends the next part once this one is deleted
            self._chunks = 0
            self._window.delete_property(self._property)
            if not self._pump(lambda: self._chunks > 0, 1.0):
                return None
            got = self._window.get_full_property(self._property, X.AnyPropertyType)
            if got is None:
                return None
            if not len(got.value):
                return None if whole is None else Value(got.property_type, got.format, whole)
            whole = got.value if whole is None else whole + got.value
            if len(whole) * got.format // 8 > MOST:
                return Value(got.property_type, got.format, whole)
        return None

    def _serve(self, asked: Any) -> None:
        """Answer a program that wants what is offered."""
        value = self._offered.get(asked.target)
        if asked.target == self._atom("TARGETS"):
            value = Value(Xatom.ATOM, 32, array("I", [asked.target, *self._offered]))
        given = asked.property or asked.target
        if value is None:
            given = X.NONE
        elif len(value.data) * value.bits // 8 > CHUNK:
            asked.requestor.change_attributes(event_mask=X.PropertyChangeMask)
            self._sending[asked.requestor.id, given] = value
            size = [len(value.data) * value.bits // 8]
            asked.requestor.change_property(given, self._atom("INCR"), 32, size)
        else:
            asked.requestor.change_property(given, value.kind, value.bits, value.data)
        answer = events.SelectionNotify(
            time=asked.time,
            requestor=asked.requestor,
            selection=asked.selection,
            target=asked.target,
            property=given,
        )
        asked.requestor.send_event(answer)
        self._display.flush()

    def _send(self, window: Any, atom: int) -> None:
        """Send the next part of a large value."""
        value = self._sending.get((window.id, atom))
        if value is None:
            return
        n = CHUNK * 8 // value.bits
        window.change_property(atom, value.kind, value.bits, value.data[:n])
        if value.data:
            self._sending[window.id, atom] = value._replace(data=value.data[n:])
        else:
            del self._sending[window.id, atom]
        self._display.flush()


def keep() -> None:
    """Offer what stdin holds on the clipboard until somebody else does."""
    from Xlib.display import Display

    display = Display()
    display.set_error_handler(lambda *_: None)
    selections = Selections(display, lambda *_: False)
    content = {k: Value(*v) for k, v in pickle.load(sys.stdin.buffer).items()}
    selections.offer("CLIPBOARD", content)
    display.sync()
    print(flush=True)
    event = None
    while event is None or event.type != X.SelectionClear:
        event = display.next_event()
        selections.handle(event)


if __name__ == "__main__":
    keep()
