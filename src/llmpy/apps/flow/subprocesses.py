"""Calling a Python function in a process of its own, with limits of time, memory and output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from llmpy.apps.flow.graph import FlowError

__all__ = ["Limits", "call"]

CHILD = Path(__file__).with_name("child.py")
KEPT = ("SYSTEMROOT", "LANG", "LC_ALL", "LC_CTYPE")  # of the environment
MOST_OUTPUT = 16 << 20
MOST_SHOWN = 100_000  # bytes of what it prints
LOOK = 0.02  # seconds between two looks


@dataclass(frozen=True)
class Limits:
    """Seconds on the clock, and bytes of memory."""

    seconds: float = 10.0
    memory: int = 1 << 30


def call(
    code: str,
    name: str,
    arguments: Mapping[str, Any],
    limits: Limits,
    check: Callable[[], object],
    text: Callable[[str], object],
) -> Any:
    """Return what the function `name` of some code returns for these arguments.

    `check` is called all the time and may raise, which ends the process; `text` gets what the
    function prints. Raises FlowError for an error of the function, with its line, and for limits.
    The process has no environment and an empty folder, but is no sandbox: it may read what the user
    may.
    """
    if getattr(sys, "frozen", False):
        raise FlowError("this program was built without a Python that could run functions")
    told = {"code": code, "name": name, "arguments": dict(arguments), "memory": limits.memory,
            "seconds": int(limits.seconds) + 1, "output": MOST_OUTPUT}  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="llmpy-flow-") as folder,
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as printed,
    ):
        given.write(msgspec.json.encode(told))
        given.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", str(CHILD)], stdin=given, stdout=out, stderr=printed, cwd=folder,
            env={key: os.environ[key] for key in KEPT if key in os.environ},
            start_new_session=True,
        )  # fmt: skip
        try:
            _wait(process, limits.seconds, check)
        finally:
            _end(process)
        printed.seek(0)
        text(printed.read(MOST_SHOWN).decode("utf-8", "replace"))
        return _result(process.returncode, out, limits)


def _wait(process: subprocess.Popen[bytes], seconds: float, check: Callable[[], object]) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None:
        check()
        if time.monotonic() > end:
            raise FlowError(f"the function took more than {seconds:g} seconds and was ended")
        time.sleep(LOOK)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    try:
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def _result(code: int, out: BinaryIO, limits: Limits) -> Any:
    out.seek(0)
    data = out.read(MOST_OUTPUT)
    try:
        found = msgspec.json.decode(data)
        if "error" in found:
            raise FlowError(str(found["error"])[:1000])
        return found["value"]
    except (msgspec.MsgspecError, KeyError, TypeError):
        how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
        megabytes = limits.memory >> 20
        raise FlowError(
            f"the process of the function ended {how}, without a result: it may have needed more "
            f"than {megabytes} MB or {limits.seconds:g} seconds"
        ) from None
