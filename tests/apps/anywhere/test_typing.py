"""Typing on X11: any text, on any layout, into programs that read keys in different ways."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Iterable, Iterator

import pytest

from llmpy.apps.anywhere.chords import chord
from llmpy.apps.anywhere.config import Config
from llmpy.apps.anywhere.desktop import Stopped
from tests.apps.anywhere.conftest import Editor, Screen, until

ASCII = "Zebra ~!@#$%^&*()_+{}|:\"<>? `-=[]\\;',./ 0123456789"
TEXTS = (ASCII, "naïve Ünïcødé — “quotes” … € ÄÖÜ ß", "Привет, мир", "日本語 と 中文", "😀 🎉 x")


PROGRAMS = ("mousepad", "featherpad", "xterm")
LAYOUTS = ("de", "fr", "ru", "us,ru")
CASES = [("us", program) for program in PROGRAMS] + [
    pytest.param(layout, program, marks=pytest.mark.full)
    for layout in LAYOUTS
    for program in PROGRAMS
]


@pytest.fixture
def set_layout(screen: Screen) -> Iterator[Callable[[str], None]]:
    """Changes the keyboard; of two layouts, the second is on."""

    def change(layout: str) -> None:
        screen.run("setxkbmap", layout)
        x11 = ctypes.CDLL("libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        opened = ctypes.c_void_p(x11.XOpenDisplay(screen.name.encode()))
        x11.XkbLockGroup(opened, 0x100, layout.count(","))  # of the core keyboard
        x11.XCloseDisplay(opened)

    yield change
    change("us")


async def type_lines(screen: Screen, lines: Iterable[str]) -> None:
    """Type as the program does."""
    from llmpy.apps.anywhere.x11 import X11

    desktop = X11(Config(), screen.name)
    try:
        await desktop.settle()
        for line in lines:
            await desktop.type(line)
            await desktop.press(chord("enter"))
        assert desktop._held() == []
        await asyncio.sleep(1)  # a loaded machine's programs read keys late
    finally:
        await desktop.close()


@pytest.mark.parametrize(("layout", "program"), CASES)
def test_any_text_is_typed_on_any_layout(
    screen: Screen,
    editors: dict[str, Editor],
    set_layout: Callable[[str], None],
    layout: str,
    program: str,
) -> None:
    editor = editors[program]
    editor.clear()
    before = editor.text
    set_layout(layout)
    asyncio.run(type_lines(screen, TEXTS))
    set_layout("us")
    until(lambda: len(editor.text.rstrip()) >= len((before + "\n".join(TEXTS)).rstrip()), 30)
    assert editor.text.rstrip() == before + "\n".join(TEXTS)


def test_caps_lock_changes_nothing(screen: Screen, editors: dict[str, Editor]) -> None:
    editors["mousepad"].clear()
    screen.xdotool("key", "Caps_Lock")
    try:
        asyncio.run(type_lines(screen, ["Mixed CASE text"]))
    finally:
        screen.xdotool("key", "Caps_Lock")
    assert editors["mousepad"].text.rstrip() == "Mixed CASE text"


def test_a_click_ends_the_typing(screen: Screen, editors: dict[str, Editor]) -> None:
    editors["mousepad"].clear()
    screen.xdotool("mousedown", "1")
    try:
        with pytest.raises(Stopped, match="clicked"):
            asyncio.run(type_lines(screen, ["text"]))
    finally:
        screen.xdotool("mouseup", "1")
    assert editors["mousepad"].text.rstrip() == ""


def test_the_focus_is_waited_for_and_must_come_back(
    screen: Screen, editors: dict[str, Editor]
) -> None:
    from llmpy.apps.anywhere.x11 import X11

    async def whole() -> None:
        desktop = X11(Config(), screen.name)
        try:
            editors["mousepad"].focus()
            await desktop.settle()
            editors["featherpad"].focus()
            with pytest.raises(Stopped, match="focus"):
                await desktop.watch(lambda: None)
            watching = asyncio.create_task(desktop.watch(lambda: None))
            await asyncio.sleep(0.1)
            assert not watching.done()
            await asyncio.to_thread(editors["mousepad"].focus)
            await watching
            await desktop.unwatch()
        finally:
            await desktop.close()

    asyncio.run(whole())
