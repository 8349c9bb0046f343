"""Wayland: the program against the real xdg-desktop-portal, with a desktop behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jeepney import DBusAddress, MessageType, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection
from jeepney.low_level import HeaderFields

from llmpy.apps.anywhere.config import Command, Config
from llmpy.apps.anywhere.portal import Portal
from llmpy.apps.anywhere.running import Models, Program

PORTALS = [Path("/usr/libexec/xdg-desktop-portal"), Path("/usr/lib/xdg-desktop-portal")]
PORTAL = next((str(path) for path in PORTALS if path.exists()), "")
pytestmark = pytest.mark.skipif(not PORTAL, reason="xdg-desktop-portal is not installed")
IMPL = "org.freedesktop.impl.portal."
NAME, PATH = IMPL + "desktop.tests", "/org/freedesktop/portal/desktop"
CHORD = "ctrl+alt+space"


class Desktop(threading.Thread):
    """What a desktop puts behind xdg-desktop-portal: it grants all, and keeps what is typed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.keys: list[tuple[int, int]] = []
        self.shortcuts: Any = []
        self._session = ""
        interfaces = ";".join(f"{IMPL}{name}" for name in ("GlobalShortcuts", "RemoteDesktop"))
        text = f"[portal]\nDBusName={NAME}\nInterfaces={interfaces};\nUseIn=tests\n"
        (folder / "tests.portal").write_text(text)
        (folder / "tests-portals.conf").write_text("[preferred]\ndefault=tests\n")
        environment = os.environ | {
            "XDG_CURRENT_DESKTOP": "tests",
            "XDG_DESKTOP_PORTAL_DIR": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
        }
        self._daemon = subprocess.Popen(  # starts the portal when it is called
            ["dbus-daemon", "--session", "--nofork", "--print-address=1", "--nopidfile"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._daemon.stdout is not None
        self.address = self._daemon.stdout.readline().strip()
        self._bus = open_dbus_connection(self.address)
        Proxy(message_bus, self._bus).RequestName(NAME)
        self.start()

    def run(self) -> None:
        """Answer the portal."""
        with contextlib.suppress(ConnectionError, EOFError, OSError):
            while True:
                message = self._bus.receive()
                if message.header.message_type is MessageType.method_call:
                    self._answer(message)

    def shortcut(self, member: str) -> None:
        """Press or release the first shortcut."""
        address = DBusAddress(PATH, NAME, IMPL + "GlobalShortcuts")
        body = (self._session, self.shortcuts[0][0], 1, {})
        self._bus.send(new_signal(address, member, "osta{sv}", body))

    def close(self) -> None:
        """End the bus, and with it what is on it."""
        self._daemon.terminate()
        self._daemon.communicate()
        self.join(5)
        self._bus.close()

    def _answer(self, message: Any) -> None:
        fields = message.header.fields
        interface, member = fields[HeaderFields.interface], fields[HeaderFields.member]
        reply: tuple[str, tuple[Any, ...]] = ("", ())
        if member == "GetAll":
            reply = "a{sv}", ({"version": ("u", 1), "AvailableDeviceTypes": ("u", 7)},)
        elif member == "NotifyKeyboardKeysym":
            self.keys.append(message.body[2:])
        elif interface.startswith(IMPL) and interface != IMPL + "Session":
            result: dict[str, Any] = {}
            if member == "BindShortcuts":
                self._session, self.shortcuts = message.body[1:3]
                bound = [
                    (name, {k: v for k, v in values.items() if k == "description"})
                    for name, values in self.shortcuts
                ]
                result = {"shortcuts": ("a(sa{sv})", bound)}
            elif member == "Start":
                result = {"devices": ("u", 1)}
            reply = "ua{sv}", (0, result)
        self._bus.send(new_method_return(message, *reply))


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    """A desktop and its portals."""
    opened = Desktop(tmp_path)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", opened.address)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield opened
    opened.close()


def test_keys_are_heard_and_pressed(
    desktop: Desktop, stories: Path, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def line(_title: str) -> str:
        return "One day, a girl named"

    async def whole() -> None:
        end = time.monotonic() + 20
        command = Command("go", max_tokens=20, temperature=0.0, input="window")
        config = Config(str(stories), 512, commands=[command])
        portal = await Portal.open(config)
        models = Models(config)
        await models.load(config.commands, lines.append)
        serving = asyncio.create_task(Program(config, portal, models, lines.append).serve())
        while "ready" not in lines[-1]:
            await asyncio.sleep(0.02)
            assert not serving.done()
        desktop.shortcut("Activated")
        desktop.shortcut("Deactivated")
        while "typed" not in lines[-1]:
            await asyncio.sleep(0.02)
            assert time.monotonic() < end, lines
        serving.cancel()
        await portal.close()
        models.close()

    lines: list[str] = []
    monkeypatch.setattr("llmpy.apps.anywhere.running.ask_line", line)
    asyncio.run(whole())
    assert desktop.shortcuts[0][1]["preferred_trigger"] == ("s", "CTRL+ALT+space")
    pressed = [symbol for symbol, state in desktop.keys if state == 1]
    assert "".join(map(chr, pressed)) == expected
    assert desktop.keys[1::2] == [(symbol, 0) for symbol in pressed]
