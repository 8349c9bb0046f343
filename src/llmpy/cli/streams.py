"""The standard streams of a command, which may be closed, full, or read by nobody any more."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

import click

__all__ = ["end_streams", "note", "open_streams"]


def open_streams() -> None:
    """Give closed streams the null device, so that no file opened later takes their numbers.

    A closed stdin stays None in `sys`: an empty prompt is not what was meant.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free: the closed stream's
            if name != "stdin":
                setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that lacks a character shows "?"
        sys.stdout.reconfigure(errors="replace")


def note(message: str, *, end: str = "\n") -> None:
    """Say something on stderr, if there is somebody to hear it."""
    try:
        click.echo(message + end, err=True, nl=False)
    except OSError:
        _mute(sys.stderr)


def end_streams() -> None:
    """Flush what was written; what cannot be is dropped, so that the interpreter ends in peace."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _mute(stream)


def _mute(stream: TextIO) -> None:
    number = os.open(os.devnull, os.O_WRONLY)
    os.dup2(number, stream.fileno())
    os.close(number)
