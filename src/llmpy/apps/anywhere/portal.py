"""Wayland: chords, typing and the clipboard by the portals of the desktop (xdg-desktop-portal)."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dbus_fast import DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError

from llmpy.apps.anywhere.chords import Chord, chord, keysym
from llmpy.apps.anywhere.config import Config
from llmpy.apps.anywhere.desktop import Stopped

__all__ = ["APP_ID", "Portal"]

APP_ID = "org.llmpy.Anywhere"
ENTRY = """\
[Desktop Entry]
Type=Application
Name=llmpy anywhere
Comment=Complete the text at the cursor of any program
Exec=llmpy anywhere
NoDisplay=true
"""
PORTAL, PATH = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
SHORTCUTS = "org.freedesktop.portal.GlobalShortcuts"
REMOTE = "org.freedesktop.portal.RemoteDesktop"
CLIPBOARD = "org.freedesktop.portal.Clipboard"
REGISTRY = "org.freedesktop.host.portal.Registry"
KEYBOARD = 1  # of the types of devices
SYMBOLS = {"ctrl": 0xFFE3, "alt": 0xFFE9, "shift": 0xFFE1, "super": 0xFFEB}
TEXTS = ("text/plain;charset=utf-8", "UTF8_STRING", "text/plain", "STRING")
MOST = 64 << 20  # bytes of a clipboard that is kept


class Portal:
    """The portals of this session; `open` makes one.

    Wayland tells no program where the focus is or which keys are pressed: a press of the chord
    cancels, and `terminal` is always False.
    """

    name = "Wayland"
    terminal = False

    def __init__(self, config: Config, bus: Any) -> None:
        self._bus = bus
        self._select, self._copy = chord(config.select), chord(config.copy)
        self._delay = config.delay
        self._token = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state"))
        self._token = self._token / "llmpy" / "anywhere-token"
        self._waiting: dict[str, asyncio.Future[tuple[int, dict[str, Any]]]] = {}
        sender = bus.unique_name.removeprefix(":").replace(".", "_")
        self._requests = f"{PATH}/request/{sender}/"
        self._chords: dict[str, Chord] = {}
        self._pressed: Callable[[Chord], None] = lambda _: None
        self._remote = self._hearing = ""
        self._has_clipboard = False
        self._released, self._copied, self._closed = (asyncio.Event() for _ in range(3))
        self._released.set()
        self._mimes: list[str] = []
        self._offered: dict[str, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, config: Config) -> Portal:
        """Connect, and ask for the keyboard; RuntimeError says in one line what is missing."""
        try:
            bus = await MessageBus(negotiate_unix_fd=True).connect()
        except (OSError, AuthError, EOFError, ValueError) as error:
            raise RuntimeError(
                f"no D-Bus session, which the keys of Wayland need: {error}"
            ) from error
        portal = cls(config, bus)
        bus.add_message_handler(portal._hear)
        try:
            await portal._start()
        except BaseException:
            bus.disconnect()
            raise
        return portal

    async def listen(
        self,
        chords: Iterable[Chord],
        pressed: Callable[[Chord], None],
        ready: Callable[[], None],
    ) -> None:
        """Bind the chords, which the user may change in a dialogue of the desktop."""
        self._pressed = pressed
        self._chords = {str(one): one for one in chords}
        if self._chords:
            await self._bind()
        ready()
        leaving = asyncio.create_task(self._bus.wait_for_disconnect())
        closing = asyncio.create_task(self._closed.wait())
        try:
            await asyncio.wait((leaving, closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            closing.cancel()
        raise RuntimeError("the desktop has ended the session of its portal")

    async def settle(self) -> None:
        """Wait until the chord is released, 3 seconds at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._released.wait(), 3)

    async def take(self, what: str) -> str:
        """Return a text by the clipboard, which is then as it was."""
        if not self._has_clipboard:
            raise Stopped('the portal of this desktop lends no clipboard: use input = "window"')
        if what == "clipboard":
            return await self._text()
        before = await self._content()
        if what == "left":
            await self.press(self._select)
        self._copied.clear()
        await self.press(self._copy)
        try:
            await asyncio.wait_for(self._copied.wait(), 1)
        except TimeoutError:
            return ""
        text = await self._text()
        await self._offer(before)
        if text and what == "left":
            await self.press(chord("right"))
        return text

    async def watch(self, cancel: Callable[[], object]) -> None:
        """Do nothing: a press of the chord cancels."""

    async def unwatch(self) -> None:
        """Do nothing."""

    async def type(self, text: str) -> None:
        """Type a text character by character."""
        for character in text:
            await self._tap([keysym(character)])
            await asyncio.sleep(self._delay)

    async def press(self, one: Chord) -> None:
        """Press a chord."""
        await self._tap([*(SYMBOLS[name] for name in one.modifiers), one.keysym])

    async def close(self) -> None:
        """Disconnect; the portals end their sessions then."""
        self._bus.disconnect()

    # ------------------------------------------------------------------ portals

    async def _start(self) -> None:
        """Say who this is, and ask for a keyboard and the clipboard."""
        applications = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
        entry = applications / "applications" / f"{APP_ID}.desktop"
        if not entry.exists():
            entry.parent.mkdir(parents=True, exist_ok=True)
            entry.write_text(ENTRY, encoding="utf-8")
        rule = f"type='signal',sender='{PORTAL}'"  # old portals send signals to everyone
        await self._bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="AddMatch",
                signature="s",
                body=[rule],
            )
        )
        with suppress(DBusError):  # portals before 1.20 have no registry
            await self._call(REGISTRY, "Register", "sa{sv}", APP_ID, {})
        self._remote = await self._session(REMOTE, "type")
        options = {"types": Variant("u", KEYBOARD), "persist_mode": Variant("u", 2)}
        if self._token.exists():
            options["restore_token"] = _text(self._token.read_text(encoding="utf-8"))
        await self._request(REMOTE, "SelectDevices", "oa{sv}", self._remote, options=options)
        with suppress(DBusError):  # desktops without this portal
            await self._call(CLIPBOARD, "RequestClipboard", "oa{sv}", self._remote, {})
        started = await self._request(REMOTE, "Start", "osa{sv}", self._remote, "")
        if not started.get("devices", 0) & KEYBOARD:
            raise RuntimeError("the desktop did not allow typing: allow it when it asks")
        self._has_clipboard = bool(started.get("clipboard_enabled"))
        if token := started.get("restore_token"):
            self._token.parent.mkdir(parents=True, exist_ok=True)
            self._token.write_text(token, encoding="utf-8")

    async def _bind(self) -> None:
        session = self._hearing = await self._session(SHORTCUTS, "hear keys")
        wanted = [
            [
                name,
                {"description": _text(f"llmpy: {name}"), "preferred_trigger": _text(one.trigger)},
            ]
            for name, one in self._chords.items()
        ]
        signature = "oa(sa{sv})sa{sv}"
        bound = await self._request(SHORTCUTS, "BindShortcuts", signature, session, wanted, "")
        if not bound.get("shortcuts"):
            raise RuntimeError("the desktop bound no keys: allow them in its settings")

    async def _session(self, interface: str, purpose: str) -> str:
        token = {"session_handle_token": _text(f"llmpy{secrets.token_hex(8)}")}
        try:
            found = await self._request(interface, "CreateSession", "a{sv}", options=token)
        except DBusError as error:
            name = interface.rpartition(".")[2]
            raise RuntimeError(
                f"this desktop lacks the portal {name}, needed to {purpose}: bind llmpy anywhere "
                f"--once or --once --clipboard to keys in its settings ({error})"
            ) from error
        return str(found["session_handle"])

    async def _request(
        self, interface: str, member: str, signature: str, *body: Any, options: Any = None
    ) -> dict[str, Any]:
        """Call a method whose result comes as the signal of a request; return the result."""
        token = f"llmpy{secrets.token_hex(8)}"
        given = {**(options or {}), "handle_token": _text(token)}
        (handle,) = await self._call(interface, member, signature, *body, given)
        answer = self._answer(handle)  # which may have been heard before its path is known
        code, result = await answer
        self._waiting.pop(handle, None)
        if code:
            why = "was refused" if code == 1 else "failed"
            raise RuntimeError(f"{interface.rpartition('.')[2]}: {member} {why} by the desktop")
        return result

    def _answer(self, path: str) -> asyncio.Future[tuple[int, dict[str, Any]]]:
        """Return the response of a request, which may be there before its path is known."""
        if path not in self._waiting:
            self._waiting[path] = asyncio.get_running_loop().create_future()
        return self._waiting[path]

    async def _call(self, interface: str, member: str, signature: str, *body: Any) -> list[Any]:
        """Call a method of the portal."""
        body_of_reply: list[Any] = (await self._reply(interface, member, signature, *body)).body
        return body_of_reply

    async def _reply(self, interface: str, member: str, signature: str, *body: Any) -> Any:
        reply = await self._bus.call(
            Message(
                destination=PORTAL,
                path=PATH,
                interface=interface,
                member=member,
                signature=signature,
                body=list(body),
            )
        )
        if reply.message_type is MessageType.ERROR:
            text = reply.body[0] if reply.body else ""
            raise DBusError(reply.error_name, f"{text or reply.error_name}")
        return reply

    def _hear(self, message: Any) -> None:
        """Handle a signal of the portal."""
        if message.message_type is not MessageType.SIGNAL:
            return
        body = message.body
        if message.path.startswith(self._requests) and message.member == "Response":
            answer = self._answer(message.path)
            if not answer.done():
                answer.set_result((body[0], {k: v.value for k, v in body[1].items()}))
        elif message.path in (self._remote, self._hearing) and message.member == "Closed":
            self._closed.set()
        elif message.interface == SHORTCUTS and body[0] == self._hearing:
            if message.member == "Activated":
                self._released.clear()
                self._pressed(self._chords[body[1]])
            elif message.member == "Deactivated":
                self._released.set()
        elif message.member == "SelectionOwnerChanged" and body[0] == self._remote:
            options = {k: v.value for k, v in body[1].items()}
            self._mimes = options.get("mime_types", [])
            if not options.get("session_is_owner"):
                self._offered = {}
                self._copied.set()
        elif message.member == "SelectionTransfer" and body[0] == self._remote:
            self._begin(self._serve(body[1], body[2]))

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let something go on by itself, and keep it until it has ended."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _tap(self, symbols: Sequence[int]) -> None:
        """Press keys and release them, also where the caller is cancelled in between."""
        task = self._begin(self._press_and_release(symbols))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    async def _press_and_release(self, symbols: Sequence[int]) -> None:
        for symbol in symbols:
            await self._key(symbol, True)
        for symbol in reversed(symbols):
            await self._key(symbol, False)

    async def _key(self, symbol: int, down: bool) -> None:
        await self._call(
            REMOTE, "NotifyKeyboardKeysym", "oa{sv}iu", self._remote, {}, symbol, int(down)
        )

    # ---------------------------------------------------------------- clipboard

    async def _text(self) -> str:
        """Return the text of the clipboard."""
        kind = next((one for one in TEXTS if one in self._mimes), "")
        return (await self._read(kind)).decode("utf-8", "replace") if kind else ""

    async def _read(self, kind: str) -> bytes:
        """Return what the clipboard has of a type."""
        reply = await self._reply(CLIPBOARD, "SelectionRead", "os", self._remote, kind)
        with open(reply.unix_fds[reply.body[0]], "rb") as file:
            return await asyncio.to_thread(file.read, MOST)

    async def _content(self) -> dict[str, bytes]:
        """Return all that is on the clipboard."""
        if self._offered:
            return self._offered
        return {mime: await self._read(mime) for mime in list(self._mimes)}

    async def _offer(self, content: dict[str, bytes]) -> None:
        self._offered = content
        options = {"mime_types": Variant("as", list(content))}
        await self._call(CLIPBOARD, "SetSelection", "oa{sv}", self._remote, options)

    async def _serve(self, mime: str, serial: int) -> None:
        """Write what another program wants of the clipboard."""
        data = self._offered.get(mime)
        if data is not None:
            reply = await self._reply(CLIPBOARD, "SelectionWrite", "ou", self._remote, serial)
            with suppress(BrokenPipeError), open(reply.unix_fds[reply.body[0]], "wb") as file:
                await asyncio.to_thread(file.write, data)
        done = data is not None
        await self._call(CLIPBOARD, "SelectionWriteDone", "oub", self._remote, serial, done)


def _text(text: str) -> Any:
    return Variant("s", text)
