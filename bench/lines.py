"""The line protocol between a bench program and its workers, both ends of it.

A worker is a process that serves one engine: it reads a JSON object a line ({"do": name, ...}) and
answers a JSON object a line ({"ok": ...} or {"error": ...}). It works only between a line and its
answer, so a controller that talks to one worker at a time measures one engine at a time.
Runs in both environments: standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Handler = Callable[..., Any]


class WorkerError(RuntimeError):
    """A worker answered with an error, or died."""


def serve(handlers: dict[str, Handler]) -> None:
    """Answer lines from standard input until it ends.

    Engines print where they like; the answers keep the real standard output for themselves.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            answer = {"ok": handlers[arguments.pop("do")](**arguments)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")


def at_once(work: Handler, over: list[Any]) -> dict[str, Any]:
    """What `work` says of each, in a thread each: all tokens, over the longest of their seconds."""
    with ThreadPoolExecutor(len(over)) as threads:
        done = list(threads.map(work, over))
    return {
        "seconds": max(each["seconds"] for each in done),
        "tokens": sum(each["tokens"] for each in done),
    }


class Pair:
    """Two engines in one process; the second is opened when first needed, as the first was."""

    def __init__(self, first: Any) -> None:
        self.engines = [first]
        self.options: dict[str, Any] = {}

    def open(self, **options: Any) -> Any:
        """Open the first."""
        self.options = options
        return self.engines[0].open(**options)

    def both(self, work: str, **arguments: Any) -> dict:
        """What both do at once in a thread each: all tokens over the longer of their seconds."""
        if len(self.engines) == 1:
            self.engines.append(type(self.engines[0])())
            self.engines[1].open(**self.options)
        return at_once(lambda engine: getattr(engine, work)(**arguments), self.engines)


class Worker:
    """One worker process, called like a function: `worker("prefill", tokens=[1, 2])`."""

    def __init__(
        self, python: str | Path, script: str, *arguments: str, env: dict[str, str] | None = None
    ) -> None:
        self.name = Path(script).stem
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__).parent / script), *arguments],
            env=os.environ | (env or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.pid = self._process.pid

    def __call__(self, do: str, **arguments: Any) -> Any:
        """The worker's result of `do`; raises WorkerError with its traceback if it failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            raise WorkerError(f"{self.name} died with exit status {code} in {do!r}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name} failed in {do!r}:\n{answer['error']}")
        return answer["ok"]

    def close(self) -> None:
        """End the process and wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def resident_bytes() -> dict[str, int]:
    """Resident memory of this process in bytes: all of it, and its parts (Linux only).

    `file` counts mapped pages of files (a mapped model among them), `private` the rest.
    """
    fields = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon", "RssFile", "RssShmem", "VmHWM"):
            fields[name] = int(value.split()[0]) * 1024
    return {
        "all": fields["VmRSS"],
        "file": fields["RssFile"],
        "private": fields["RssAnon"] + fields["RssShmem"],
        "peak": fields["VmHWM"],
    }
