"""An entry in the menu of the system, which starts the app."""

from __future__ import annotations

import os
import plistlib
import shlex
import stat
import sys
from importlib.resources import files
from pathlib import Path

__all__ = ["install"]

NAME = "llmpy"
COMMENT = "Chat with local language models"


def install(
    *, platform: str = sys.platform, home: Path | None = None, command: list[str] | None = None
) -> list[Path]:
    """Write the files of an entry in the menu, and return their paths.

    Linux: a .desktop file and its icon; macOS: an application in ~/Applications; Windows: a script
    in the Start menu. `command`: what starts the app (default: this Python, or this program).
    """
    home = home or Path.home()
    command = command or _command()
    if platform == "darwin":
        return _macos(home, command)
    if platform == "win32":
        return _windows(home, command)
    return _linux(home, command)


def _command() -> list[str]:
    """Return the command that starts the app as now: a frozen program is its own Python."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "app"]
    return [sys.executable, "-m", "llmpy", "app"]


def _icon() -> bytes:
    return (files("llmpy.apps.webapp") / "web" / "icon.svg").read_bytes()


def _linux(home: Path, command: list[str]) -> list[Path]:
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    icon = data / "icons" / "hicolor" / "scalable" / "apps" / f"{NAME}.svg"
    entry = data / "applications" / f"{NAME}.desktop"
    text = "\n".join(
        [
            "[Desktop Entry]",
            "Type=Application",
            "Version=1.5",
            f"Name={NAME}",
            f"Comment={COMMENT}",
            f"Exec={' '.join(map(_quoted, command))}",
            f"Icon={icon}",
            "Terminal=false",
            "Categories=Utility;Development;",
            "Keywords=chat;language model;LLM;AI;",
            "StartupNotify=false",
            "",
        ]
    )
    return [_written(icon, _icon()), _written(entry, text.encode(), runnable=True)]


def _quoted(argument: str) -> str:
    """An argument of Exec=, as the specification of desktop entries quotes it."""
    escaped = argument.replace("%", "%%")
    if escaped and not any(c in " \t\n\"'\\><~|&;$*?#()`" for c in escaped):
        return escaped
    for character in '\\"`$':
        escaped = escaped.replace(character, "\\" + character)
    return '"' + escaped.replace("\\", "\\\\") + '"'


def _macos(home: Path, command: list[str]) -> list[Path]:
    contents = home / "Applications" / f"{NAME}.app" / "Contents"
    properties = {
        "CFBundleName": NAME,
        "CFBundleDisplayName": NAME,
        "CFBundleIdentifier": "org.llmpy.app",
        "CFBundlePackageType": "APPL",
        "CFBundleExecutable": NAME,
        "CFBundleVersion": "1",
        "CFBundleShortVersionString": "1.0",
        "LSUIElement": True,  # its window is the browser's
    }
    script = f"#!/bin/sh\nexec {shlex.join(command)}\n"
    return [
        _written(contents / "Info.plist", plistlib.dumps(properties)),
        _written(contents / "MacOS" / NAME, script.encode(), runnable=True),
    ]


def _windows(home: Path, command: list[str]) -> list[Path]:
    roaming = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    menu = roaming / "Microsoft" / "Windows" / "Start Menu" / "Programs"
    quoted = " ".join(f'""{part}""' if " " in part else part for part in command)
    # A script, for a shortcut cannot be written without the system's own functions; it opens no
    # window of its own (0).
    script = f'CreateObject("WScript.Shell").Run "{quoted}", 0, False\r\n'
    return [_written(menu / f"{NAME}.vbs", script.encode("utf-16"))]


def _written(path: Path, data: bytes, *, runnable: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if runnable:
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path
