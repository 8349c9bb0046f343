"""From the command to the page, and an entry in the menu of the system."""

from __future__ import annotations

import configparser
import http.client
import os
import plistlib
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmpy.apps.webapp import desktop, install, starting
from llmpy.cli.app import command

SECONDS = 120


def started(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """The app as a process, and what it says first."""
    environment = {**os.environ, "LLMPY_MODELS": str(folder / "models")}
    process = subprocess.Popen(
        [sys.executable, "-m", "llmpy", "app", "--data", str(folder / "data"), "--no-browser",
         *arguments],
        stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stderr is not None
    return process, process.stderr.readline()


def ended(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    code = process.wait(SECONDS)
    process.stderr.close()  # type: ignore[union-attr]
    return code


def status(address: str, path: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=SECONDS)
    connection.request("GET", path)
    code = connection.getresponse().status
    connection.close()
    return code


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_command_says_where_it_is_and_a_second_one_too(tmp_path: Path) -> None:
    process, said = started(tmp_path, "--port", "0")
    try:
        assert (match := re.fullmatch(r"llmpy: the app is on http://(127\.0\.0\.1:\d+)\n", said))
        assert status(match[1], "/app/state") == 200
        second, told = started(tmp_path)
        assert told == f"llmpy: the app runs already, on http://{match[1]}\n"
        assert second.wait(SECONDS) == 0
        second.stderr.close()  # type: ignore[union-attr]
    finally:
        code = ended(process)
    assert code == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_an_idle_app_rests(stories: Path, tmp_path: Path) -> None:
    process, said = started(tmp_path, "--port", "0", "-m", f"stories={stories}")
    try:
        address = said.strip().rpartition("http://")[2]
        connection = http.client.HTTPConnection(address, timeout=SECONDS)
        connection.request("POST", "/app/models/load", '{"name": "stories"}')
        assert connection.getresponse().status == 200
        connection.close()
        time.sleep(0.5)

        def used() -> float:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        before, begun = used(), time.monotonic()
        time.sleep(2)
        share = (used() - before) / (time.monotonic() - begun)
        assert share < 0.02  # a guard: 0.5 % is what it should be, and a clock tick is 10 ms
    finally:
        ended(process)


def test_the_browser_is_opened_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, said = list[str](), list[str]()

    class Refused(Exception):
        pass

    class NoServer:
        def __init__(self, *_: Any, ready: Any, **__: Any) -> None:
            ready("http://127.0.0.1:1")
            raise Refused

    monkeypatch.setattr(starting, "Server", NoServer)
    monkeypatch.setattr(starting.webbrowser, "open", opened.append)
    for browser in (True, False):
        with pytest.raises(Refused):
            starting.run_app(folder=tmp_path, browser=browser, say=said.append)
    end = time.monotonic() + SECONDS
    while not opened and time.monotonic() < end:
        time.sleep(0.01)
    assert opened == ["http://127.0.0.1:1"]
    assert said == ["llmpy: the app is on http://127.0.0.1:1"] * 2


def test_the_help_names_every_option() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    for option in ("--model", "--port", "--no-browser", "--install", "--data", "--tools"):
        assert option in text


ODD = ["/opt/my apps/py\"th'on$", "-m", "llmpy", "app", "100%"]


@pytest.fixture(autouse=True)
def no_system_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(desktop, "_icon", lambda: b"<svg/>")


def unquoted(text: str) -> list[str]:
    """Arguments of Exec=, read by the rules of the specification of desktop entries."""
    text = text.replace("\\\\", "\\")  # as of every string of the file
    found, part, quoted, i = list[str](), "", False, 0
    while i < len(text):
        c = text[i]
        if c == '"':
            quoted = not quoted
        elif quoted and c == "\\":
            i += 1
            part += text[i]
        elif c == " " and not quoted:
            found.append(part)
            part = ""
        else:
            part += c
        i += 1
    return [piece.replace("%%", "%") for piece in [*found, part]]


def test_the_entry_of_linux(tmp_path: Path) -> None:
    icon, entry = install(platform="linux", home=tmp_path, command=ODD)
    assert entry == tmp_path / ".local/share/applications/llmpy.desktop"
    assert icon.read_bytes() == b"<svg/>"
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(entry, "utf-8")
    fields = parser["Desktop Entry"]
    assert (fields["Type"], fields["Name"], fields["Terminal"]) == ("Application", "llmpy", "false")
    assert fields["Icon"] == str(icon)
    assert unquoted(fields["Exec"]) == ODD
    if sys.platform != "win32":
        assert entry.stat().st_mode & 0o100


@pytest.mark.skipif(sys.platform != "linux", reason="runs an entry of Linux")
def test_the_entry_of_linux_starts_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    shown = CliRunner().invoke(command, ["--install"])
    entry = Path(shown.output.split()[-1])
    line = next(x for x in entry.read_text().splitlines() if x.startswith("Exec="))
    done = subprocess.run(
        [*unquoted(line.removeprefix("Exec=")), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Chat with local models" in done.stdout


def test_the_application_of_macos(tmp_path: Path) -> None:
    properties, script = install(platform="darwin", home=tmp_path, command=ODD)
    app = tmp_path / "Applications/llmpy.app/Contents"
    assert (properties, script) == (app / "Info.plist", app / "MacOS/llmpy")
    found = plistlib.loads(properties.read_bytes())
    assert found["CFBundleExecutable"] == script.name
    first, second = script.read_text().splitlines()
    assert first == "#!/bin/sh"
    assert shlex.split(second) == ["exec", *ODD]


def test_the_script_of_windows(tmp_path: Path) -> None:
    arguments = ["C:\\Program Files\\Python\\python.exe", "-m", "llmpy", "app"]
    (script,) = install(platform="win32", home=tmp_path, command=arguments)
    menu = "AppData/Roaming/Microsoft/Windows/Start Menu/Programs"
    assert script == tmp_path / menu / "llmpy.vbs"
    text = script.read_bytes().decode("utf-16")
    match = re.fullmatch(r'CreateObject\("WScript\.Shell"\)\.Run "(.*)", 0, False\r\n', text)
    assert match is not None
    run = match[1].replace('""', '"')  # as Basic reads it
    assert run == '"C:\\Program Files\\Python\\python.exe" -m llmpy app'


def test_a_frozen_program_starts_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/llmpy/llmpy")
    _, entry = install(platform="linux", home=tmp_path)
    assert "Exec=/opt/llmpy/llmpy app\n" in entry.read_text()
