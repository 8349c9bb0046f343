"""The portals of a Wayland desktop on a bus of one's own, with one program that has a text.

Signatures, order of calls and errors are those of xdg-desktop-portal; signals go to their client
alone, as those of version 1.20. Written on jeepney, so that no code is shared with what is tested.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, MessageType, new_error, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection
from jeepney.low_level import HeaderFields

NAME, PATH = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
PREFIX = "org.freedesktop.portal."
SIGNATURES = {
    "Register": ("sa{sv}", ""),
    "GlobalShortcuts.CreateSession": ("a{sv}", "o"),
    "GlobalShortcuts.BindShortcuts": ("oa(sa{sv})sa{sv}", "o"),
    "RemoteDesktop.CreateSession": ("a{sv}", "o"),
    "RemoteDesktop.SelectDevices": ("oa{sv}", "o"),
    "RemoteDesktop.Start": ("osa{sv}", "o"),
    "RemoteDesktop.NotifyKeyboardKeysym": ("oa{sv}iu", ""),
    "Clipboard.RequestClipboard": ("oa{sv}", ""),
    "Clipboard.SetSelection": ("oa{sv}", ""),
    "Clipboard.SelectionRead": ("os", "h"),
    "Clipboard.SelectionWrite": ("ou", "h"),
    "Clipboard.SelectionWriteDone": ("oub", ""),
}
RELEASED, PRESSED = 0, 1
SHIFT, CONTROL = 0xFFE1, 0xFFE3
HOME, RIGHT, RETURN = 0xFF50, 0xFF53, 0xFF0D


class Failed(Exception):
    """An answer that is an error."""


class FakePortals(threading.Thread):
    """A bus with the portals; what the tests ask of the desktop are its methods.

    `lacking` are portals that it does not have, `refuses` a method that the user refuses, and `old`
    portals choose the paths of requests themselves, and send signals to everyone.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.lacking: set[str] = set()
        self.refuses, self.old, self.clipboard_enabled = "", False, True
        self.calls: list[str] = []
        self.app_id, self.bound, self.restored = "", {}, ""
        self.text, self.cursor, self.selected = "", 0, ""
        self.inserted: Callable[[], object] = lambda: None  # while the key is down
        self.down: set[int] = set()
        self.keys: list[tuple[int, int]] = []
        self.clipboard: dict[str, bytes] = {}
        self.done: list[bool] = []
        self._sessions: dict[str, dict[str, Any]] = {}
        self._client = ""
        self._serial = 0
        self._reading: dict[int, int] = {}
        self._daemon = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--print-address=1", "--nopidfile"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._daemon.stdout is not None
        self.address = self._daemon.stdout.readline().strip()
        self._bus = open_dbus_connection(self.address, enable_fds=True)
        Proxy(message_bus, self._bus).RequestName(NAME)
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self.start()

    # ------------------------------------------------- what the user does

    def press(self, shortcut: str) -> None:
        """Press a shortcut of the client."""
        self._shortcut("Activated", shortcut)

    def release(self, shortcut: str) -> None:
        """Release it."""
        self._shortcut("Deactivated", shortcut)

    def put(self, content: dict[str, bytes]) -> None:
        """Copy something in another program."""
        self.clipboard = content
        self._owner_changed(False)

    def paste(self, mime: str) -> bytes:
        """Ask the client for what it offers on the clipboard."""
        self._serial += 1
        reading, writing = os.pipe()
        self._reading[self._serial] = writing
        self._signal("Clipboard", "SelectionTransfer", "osu", (self._remote(), mime, self._serial))
        with open(reading, "rb") as file:
            return file.read()

    def close_session(self) -> None:
        """Take the keyboard away."""
        address = DBusAddress(self._remote(), NAME, PREFIX + "Session")
        self._send_signal(address, "Closed", "a{sv}", ({},))

    def close(self) -> None:
        """End the bus; what went wrong in the portals is an error here."""
        self._daemon.terminate()
        self._daemon.communicate()
        self.join(5)
        if self._failure is not None:
            raise self._failure

    # ----------------------------------------------------------- the bus

    def run(self) -> None:
        """Answer calls until the bus ends."""
        try:
            while True:
                message = self._bus.receive()
                if message.header.message_type is MessageType.method_call:
                    self._answer(message)
        except (ConnectionError, EOFError, OSError):
            pass
        except Exception as error:
            self._failure = error
        finally:
            with contextlib.suppress(OSError):
                self._bus.close()

    def _answer(self, message: Any) -> None:
        fields = message.header.fields
        interface, member = fields[HeaderFields.interface], fields[HeaderFields.member]
        self._client = fields[HeaderFields.sender]
        name = f"{interface.removeprefix(PREFIX)}.{member}"
        if interface == "org.freedesktop.host.portal.Registry":
            name, interface = member, "Registry"
        portal = name.partition(".")[0] if interface != "Registry" else interface
        given = fields.get(HeaderFields.signature, "")
        self.calls.append(name)
        after: list[Any] = []
        try:
            if portal in self.lacking or name not in SIGNATURES:
                raise Failed(
                    "org.freedesktop.DBus.Error.UnknownMethod", f"No such interface {name}"
                )
            expected, returned = SIGNATURES[name]
            if given != expected:
                raise Failed(
                    "org.freedesktop.DBus.Error.InvalidArgs",
                    f"Type of message, ({given}), does not match expected type ({expected})",
                )
            method = getattr(self, f"_{name.replace('.', '_').lower()}")
            result = method(*message.body, after)
        except Failed as error:
            self._send(new_error(message, error.args[0], "s", (error.args[1],)))
            return
        self._send(new_method_return(message, returned, () if result is None else (result,)))
        if returned == "h":
            result.close()  # the client has its own now
        for send in after:
            send()

    def _send(self, message: Any) -> None:
        with self._lock:
            self._bus.send(message)

    def _signal(self, portal: str, member: str, signature: str, body: tuple[Any, ...]) -> None:
        self._send_signal(DBusAddress(PATH, NAME, PREFIX + portal), member, signature, body)

    def _send_signal(
        self, address: DBusAddress, member: str, signature: str, body: tuple[Any, ...]
    ) -> None:
        message = new_signal(address, member, signature, body)
        if not self.old:
            message.header.fields[HeaderFields.destination] = self._client
        self._send(message)

    def _shortcut(self, member: str, shortcut: str) -> None:
        (session,) = (
            s for s, kept in self._sessions.items() if kept["portal"] == "GlobalShortcuts"
        )
        self._signal("GlobalShortcuts", member, "osta{sv}", (session, shortcut, 1, {}))

    def _request(
        self, member: str, options: dict[str, Any], result: dict[str, Any], after: Any
    ) -> str:
        """The path of a request, whose response comes after the call returns."""
        sender = self._client.removeprefix(":").replace(".", "_")
        token = "t" + str(len(self.calls)) if self.old else _value(options, "handle_token", "s")
        path = f"{PATH}/request/{sender}/{token}"
        code = 1 if self.refuses == member else 0
        address = DBusAddress(path, NAME, PREFIX + "Request")
        body = (code, {} if code else result)
        after.append(lambda: self._send_signal(address, "Response", "ua{sv}", body))
        return path

    def _session(self, path: str, portal: str, *, started: bool | None = None) -> dict[str, Any]:
        kept = self._sessions.get(path)
        if kept is None or kept["portal"] != portal:
            raise Failed("org.freedesktop.DBus.Error.AccessDenied", "Invalid session")
        if started is not None and kept["started"] != started:
            raise Failed("org.freedesktop.DBus.Error.Failed", "Invalid state")
        return kept

    def _remote(self) -> str:
        (session,) = (s for s, kept in self._sessions.items() if kept["portal"] == "RemoteDesktop")
        return session

    # ------------------------------------------------------- the methods

    def _register(self, app_id: str, _options: Any, _after: Any) -> None:
        entry = self.folder / "applications" / f"{app_id}.desktop"
        if len(self.calls) > 1 or not entry.exists():
            raise Failed("org.freedesktop.portal.Error.Failed", "Can't create registered app")
        self.app_id = app_id

    def _create(self, portal: str, options: dict[str, Any], after: Any) -> str:
        sender = self._client.removeprefix(":").replace(".", "_")
        path = f"{PATH}/session/{sender}/{_value(options, 'session_handle_token', 's')}"
        self._sessions[path] = {"portal": portal, "started": False, "clipboard": False}
        return self._request("CreateSession", options, {"session_handle": ("s", path)}, after)

    def _globalshortcuts_createsession(self, options: dict[str, Any], after: Any) -> str:
        return self._create("GlobalShortcuts", options, after)

    def _remotedesktop_createsession(self, options: dict[str, Any], after: Any) -> str:
        return self._create("RemoteDesktop", options, after)

    def _globalshortcuts_bindshortcuts(
        self, session: str, shortcuts: Any, _parent: str, options: Any, after: Any
    ) -> str:
        self._session(session, "GlobalShortcuts", started=False)["started"] = True
        for name, values in shortcuts:
            _value(values, "description", "s")
            self.bound[name] = _value(values, "preferred_trigger", "s")
        bound = [
            (name, {"description": ("s", name), "trigger_description": ("s", trigger)})
            for name, trigger in self.bound.items()
        ]
        return self._request("BindShortcuts", options, {"shortcuts": ("a(sa{sv})", bound)}, after)

    def _remotedesktop_selectdevices(self, session: str, options: Any, after: Any) -> str:
        self._session(session, "RemoteDesktop", started=False)
        assert _value(options, "types", "u") == 1
        assert _value(options, "persist_mode", "u") == 2
        self.restored = _value(options, "restore_token", "s") if "restore_token" in options else ""
        return self._request("SelectDevices", options, {}, after)

    def _clipboard_requestclipboard(self, session: str, _options: Any, _after: Any) -> None:
        self._session(session, "RemoteDesktop", started=False)["clipboard"] = True

    def _remotedesktop_start(self, session: str, _parent: str, options: Any, after: Any) -> str:
        kept = self._session(session, "RemoteDesktop", started=False)
        kept["started"] = True
        kept["clipboard"] = kept["clipboard"] and self.clipboard_enabled
        result = {
            "devices": ("u", 1),
            "clipboard_enabled": ("b", kept["clipboard"]),
            "restore_token": ("s", "token-of-the-next-time"),
        }
        path = self._request("Start", options, result, after)
        if kept["clipboard"]:
            after.append(lambda: self._owner_changed(False))
        return path

    def _remotedesktop_notifykeyboardkeysym(
        self, session: str, _options: Any, symbol: int, state: int, _after: Any
    ) -> None:
        self._session(session, "RemoteDesktop", started=True)
        self.keys.append((symbol, state))
        if state == RELEASED:
            self.down.remove(symbol)
            return
        assert symbol not in self.down
        self.down.add(symbol)
        if symbol == HOME and SHIFT in self.down:
            start = self.text.rfind("\n", 0, self.cursor) + 1
            self.selected = self.text[start : self.cursor]
        elif symbol == ord("c") and CONTROL in self.down:
            if self.selected:
                self.clipboard = {"text/plain;charset=utf-8": self.selected.encode()}
                self._owner_changed(False)
        elif symbol == RIGHT:
            assert self.selected, "the cursor would move"
            self.selected = ""
        elif symbol == RETURN:
            self._insert("\n")
        elif symbol not in (SHIFT, CONTROL):
            self._insert(chr(symbol & 0xFFFFFF))

    def _insert(self, character: str) -> None:
        start = self.cursor - len(self.selected)
        self.text = self.text[:start] + character + self.text[self.cursor :]
        self.cursor, self.selected = start + 1, ""
        self.inserted()

    # ----------------------------------------------------- the clipboard

    def _owner_changed(self, own: bool) -> None:
        options = {
            "mime_types": ("as", list(self.clipboard)),
            "session_is_owner": ("b", own),
        }
        self._signal("Clipboard", "SelectionOwnerChanged", "oa{sv}", (self._remote(), options))

    def _clipboard_of(self, session: str) -> None:
        if not self._session(session, "RemoteDesktop", started=True)["clipboard"]:
            raise Failed("org.freedesktop.DBus.Error.AccessDenied", "Clipboard not enabled")

    def _clipboard_setselection(self, session: str, options: Any, after: Any) -> None:
        self._clipboard_of(session)
        self.clipboard = dict.fromkeys(_value(options, "mime_types", "as"), b"")
        after.append(lambda: self._owner_changed(True))

    def _clipboard_selectionread(self, session: str, mime: str, _after: Any) -> Any:
        self._clipboard_of(session)
        if mime not in self.clipboard:
            raise Failed("org.freedesktop.portal.Error.Failed", "Internal error")
        reading, writing = os.pipe()
        data = self.clipboard[mime]

        def write() -> None:
            with open(writing, "wb") as file:
                file.write(data)

        threading.Thread(target=write, daemon=True).start()
        return open(reading, "rb")

    def _clipboard_selectionwrite(self, session: str, serial: int, _after: Any) -> Any:
        self._clipboard_of(session)
        return open(self._reading.pop(serial), "wb")

    def _clipboard_selectionwritedone(
        self, session: str, serial: int, success: bool, _after: Any
    ) -> None:
        self._clipboard_of(session)
        if serial in self._reading:
            os.close(self._reading.pop(serial))
        self.done.append(success)


def _value(options: dict[str, Any], name: str, kind: str) -> Any:
    """The value of an option, of the type that it must have."""
    found, value = options[name]
    if found != kind:
        raise Failed("org.freedesktop.DBus.Error.InvalidArgs", f"{name}: {found} is not {kind}")
    return value
