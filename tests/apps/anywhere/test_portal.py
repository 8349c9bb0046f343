"""Wayland: the program against the portals of a desktop."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmpy.apps.anywhere.config import Command, Config
from llmpy.apps.anywhere.portal import Portal
from llmpy.apps.anywhere.running import Models, Program
from tests.apps.anywhere.conftest import BEGINNING
from tests.apps.anywhere.portals import FakePortals

CHORD = "ctrl+alt+space"
pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon")


@pytest.fixture
def portals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePortals]:
    """A desktop of one's own."""
    started = FakePortals(tmp_path / "data")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", started.address)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield started
    started.close()


@pytest.fixture
def config(stories: Path) -> Config:
    """One command."""
    command = Command("go", max_tokens=20, temperature=0.0)
    return Config(str(stories), 512, commands=[command])


@asynccontextmanager
async def running(config: Config, lines: list[str]) -> AsyncIterator[None]:
    """The program, once it hears keys."""
    models, desktop = Models(config), await Portal.open(config)
    program = Program(config, desktop, models, lines.append)
    try:
        await models.load(config.commands, lines.append)
        serving = asyncio.create_task(program.serve())
        await reached(lambda: serving.done() or any("ready" in line for line in lines))
        if serving.done():
            await serving
        yield
        serving.cancel()
        await asyncio.wait([serving])
    finally:
        await desktop.close()
        models.close()


async def reached(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 15
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.01)


def play(config: Config, scenario: Callable[[list[str]], object]) -> list[str]:
    """Run a scenario with the program; return its lines."""
    lines: list[str] = []

    async def whole() -> None:
        async with running(config, lines):
            await scenario(lines)  # type: ignore[misc]

    asyncio.run(whole())
    return lines


def test_what_is_left_of_the_cursor_is_completed(
    portals: FakePortals, config: Config, expected: str
) -> None:
    content = {"text/plain;charset=utf-8": b"mine", "image/png": bytes(range(256)) * 2000}
    portals.text, portals.cursor = f"First line\n{BEGINNING} right of it", 11 + len(BEGINNING)

    async def scenario(lines: list[str]) -> None:
        portals.put(content)
        portals.press(CHORD)
        await asyncio.sleep(0.2)
        assert portals.keys == []  # while it is held
        portals.release(CHORD)
        await reached(lambda: "typed" in lines[-1])
        pasted = {mime: await asyncio.to_thread(portals.paste, mime) for mime in content}
        assert pasted == content
        await reached(lambda: portals.done == [True, True])

    lines = play(config, scenario)
    assert portals.text == f"First line\n{BEGINNING}{expected} right of it"
    assert portals.down == set()
    assert portals.bound == {CHORD: "CTRL+ALT+space"}
    assert portals.app_id == "org.llmpy.Anywhere"
    assert lines[1:2] == [f"ready on Wayland: {CHORD} go"]


def test_the_second_start_asks_nothing(
    portals: FakePortals, config: Config, tmp_path: Path
) -> None:
    async def scenario(_lines: list[str]) -> None:
        pass

    play(config, scenario)
    assert portals.restored == ""
    assert (tmp_path / "state" / "llmpy" / "anywhere-token").read_text() == "token-of-the-next-time"
    portals._sessions.clear()
    portals.calls.clear()
    play(config, scenario)
    assert portals.restored == "token-of-the-next-time"


def test_a_second_press_cancels(portals: FakePortals, config: Config) -> None:
    config.commands[0].sampler = "ignore-eos/top-k:k=40/temperature:0.9"
    config.commands[0].temperature = config.commands[0].max_tokens = None
    config.delay = 0.03
    portals.text, portals.cursor = BEGINNING, len(BEGINNING)

    async def scenario(lines: list[str]) -> None:
        portals.press(CHORD)
        portals.release(CHORD)
        await reached(lambda: len(portals.text) > len(BEGINNING) + 10)
        portals.press(CHORD)
        portals.release(CHORD)
        await reached(lambda: lines[-1] == "go: cancelled")

    play(config, scenario)
    assert portals.down == set()


def test_a_key_that_is_down_when_the_answer_is_cancelled_is_released(
    portals: FakePortals, config: Config
) -> None:
    portals.text, portals.cursor = BEGINNING, len(BEGINNING)

    def inserted() -> None:
        if len(portals.text) == len(BEGINNING) + 5:
            portals.press(CHORD)
            portals.release(CHORD)

    async def scenario(lines: list[str]) -> None:
        portals.inserted = inserted
        portals.press(CHORD)
        portals.release(CHORD)
        await reached(lambda: lines[-1] == "go: cancelled")

    play(config, scenario)
    assert len(portals.text) == len(BEGINNING) + 5
    assert portals.down == set()


def test_nothing_left_of_the_cursor_moves_nothing(portals: FakePortals, config: Config) -> None:
    portals.text, portals.cursor = "\nbelow", 0

    async def scenario(lines: list[str]) -> None:
        portals.press(CHORD)
        portals.release(CHORD)
        await reached(lambda: lines[-1] == "go: nothing is left of the cursor")

    play(config, scenario)
    assert portals.text == "\nbelow"


def test_portals_of_before_do_without_registry_and_clipboard(
    portals: FakePortals, config: Config
) -> None:
    portals.old, portals.lacking = True, {"Registry", "Clipboard"}

    async def scenario(lines: list[str]) -> None:
        portals.press(CHORD)
        portals.release(CHORD)
        await reached(lambda: "lends no clipboard" in lines[-1])

    play(config, scenario)


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ("Start", "RemoteDesktop: Start was refused by the desktop"),
        ("BindShortcuts", "GlobalShortcuts: BindShortcuts was refused by the desktop"),
    ],
)
def test_what_the_user_refuses_is_said(
    portals: FakePortals, config: Config, refused: str, message: str
) -> None:
    portals.refuses = refused
    with pytest.raises(RuntimeError, match=message):
        play(config, lambda _lines: None)


@pytest.mark.parametrize("portal", ["RemoteDesktop", "GlobalShortcuts"])
def test_a_desktop_without_a_portal_is_told_what_to_do(
    portals: FakePortals, config: Config, portal: str
) -> None:
    portals.lacking = {portal}
    with pytest.raises(RuntimeError, match=f"lacks the portal {portal}.*--once") as error:
        play(config, lambda _lines: None)
    assert "\n" not in str(error.value)


def test_a_session_that_the_desktop_ends_is_an_error(portals: FakePortals, config: Config) -> None:
    async def whole() -> None:
        desktop = await Portal.open(config)
        program = Program(config, desktop, Models(config), lines.append)
        serving = asyncio.create_task(program.serve())
        await reached(lambda: "ready" in "".join(lines))
        portals.close_session()
        with pytest.raises(RuntimeError, match="ended the session"):
            await serving
        await desktop.close()

    lines: list[str] = []
    asyncio.run(whole())


def test_without_a_bus_the_error_says_so(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path=/nowhere/{os.getpid()}")
    with pytest.raises(RuntimeError, match="no D-Bus session"):
        asyncio.run(Portal.open(config))
